//! One attempt at one host, up to the first content of its answer.

use super::question::Question;
use crate::config::{KeepAlive, Limits, Model, Overflow};
use crate::hosts::host::Host;
use crate::hosts::names::ModelName;
use crate::upstream::{Answer, AnswerBody, Outgoing, Pool, SendError, path_at, set_host};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use upright_core::clock::SharedClock;
use upright_core::driving::{Attempt, Facts, within};
use upright_core::types::{Circumstances, Endpoint, Fault, FaultKind, WindowFacts};
use upright_protocol::{
    ANSWER_LIMIT, AnswerStream, Broken, ErrorBody, Judgement, OllamaError, Reader, Received, Refusal, Timeout, fault_of_body, judged,
};

/// Maximum size of an error's body, bytes.
const ERROR_LIMIT: usize = 1 << 20;
/// Time between two looks at a host that has not begun its answer.
const LOOK: Duration = Duration::from_secs(1);

/// The result of an attempt.
pub(super) enum Brought {
    /// A stream whose first content is there.
    Stream { content_type: Option<HeaderValue>, held: Vec<Bytes>, rest: AnswerBody, question_cut: bool },
    /// A whole answer, judged.
    Whole { content_type: Option<HeaderValue>, bytes: Bytes, question_cut: bool },
}

impl Brought {
    /// The type of the host's answer, and whether it is known that the host dropped a part of the question.
    pub(super) fn head(&self) -> (Option<&HeaderValue>, bool) {
        match self {
            Self::Stream { content_type, question_cut, .. } | Self::Whole { content_type, question_cut, .. } => {
                (content_type.as_ref(), *question_cut)
            }
        }
    }
}

/// Why an attempt brought nothing.
pub(super) struct Missed {
    pub(super) facts: Facts,
    pub(super) message: String,
    /// The host's own words, where it answered with an error.
    pub(super) said: Option<(StatusCode, HeaderMap, Bytes)>,
    /// Whether the model had loaded: an answer had begun.
    pub(super) loaded: bool,
    /// Whether the answer is another one than the client has.
    pub(super) differs: bool,
}

impl From<OllamaError> for Missed {
    fn from(error: OllamaError) -> Self {
        Self { facts: Facts::of(&error), message: error.to_string(), said: None, loaded: false, differs: false }
    }
}

impl From<Broken> for Missed {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Cut(error) => error.into(),
            Broken::Differs => {
                let fault = Fault::new(FaultKind::RejectedResult, broken.to_string());
                Self { differs: true, message: fault.message.clone(), facts: fault.into(), said: None, loaded: true }
            }
        }
    }
}

impl Missed {
    /// An answer that was cut on its way to the client.
    pub(super) fn cut(error: &OllamaError, facts: Facts) -> Self {
        Self { facts, message: error.to_string(), said: None, loaded: true, differs: false }
    }

    fn timeout(endpoint: Endpoint, timeout: Timeout, limit: Duration) -> Self {
        OllamaError::Timeout { endpoint, timeout, limit }.into()
    }

    fn broken(endpoint: Endpoint, error: &hyper::Error) -> Self {
        let fault = Fault { endpoint, ..upright_core::fault::fault_of(error) };
        Self { message: fault.message.clone(), facts: fault.into(), said: None, loaded: false, differs: false }
    }
}

/// Host and settings of one attempt.
pub(super) struct Way<'a> {
    /// By which its limits of time are kept.
    pub(super) clock: &'a SharedClock,
    pub(super) pool: &'a Rc<Pool>,
    pub(super) host: &'a Arc<Host>,
    pub(super) model: &'a ModelName,
    pub(super) limits: &'a Limits,
    /// Settings of the model.
    pub(super) settings: Option<&'a Model>,
    pub(super) overflow: Overflow,
    /// Window that was learnt for the model.
    pub(super) window: Option<u32>,
    pub(super) refuse_cuts: bool,
    /// Whether the answer to a cut question passes.
    pub(super) accepts_cuts: bool,
    /// Whether another host may serve in place of this one.
    pub(super) has_others: bool,
    /// Seed of the gateway's own.
    pub(super) seed: Option<u32>,
}

impl Way<'_> {
    /// Asks the host. `stream` takes an answer that is streamed.
    pub(super) async fn ask(&self, question: &Question, attempt: &Attempt, stream: Option<&mut AnswerStream>) -> Result<Brought, Missed> {
        let Self { pool, host, limits, .. } = self;
        let endpoint = question.endpoint;
        let keep_alive = self.settings.and_then(|settings| settings.keep_alive).map(KeepAlive::seconds);
        let body = question.body_for(attempt.model(), attempt.window.or(self.window), self.refuse_cuts, keep_alive, self.seed);
        let sent = pool.send(host.peer(), limits.connect, || Some(self.request(question, body.clone())));
        // The head of an answer that is not streamed comes with its end.
        let (phase, limit) = if question.asked.streamed { (Timeout::Load, limits.loading) } else { (Timeout::Whole, limits.whole_answer) };
        let answer = match self.head(limit, pin!(sent)).await {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                return Err(Missed {
                    facts: error.fault(endpoint).into(),
                    message: error.to_string(),
                    said: None,
                    loaded: false,
                    differs: false,
                });
            }
            None => return Err(Missed::timeout(endpoint, phase, limit)),
        };
        let loaded = answer.head.status.is_success();
        let first = within(Some(limits.first_content), self.clock, pin!(self.read(question, attempt, answer, stream))).await;
        let late = || Missed::timeout(endpoint, Timeout::FirstToken, limits.first_content);
        first.map_err(|missed| Missed { loaded, ..missed.unwrap_or_else(late) })
    }

    /// The answer's head; `None` if it did not come within this limit. A host that is found dead meanwhile
    /// loads nothing: the wait for it ends where another host may serve.
    async fn head<A>(
        &self,
        limit: Duration,
        mut sent: Pin<&mut impl Future<Output = Result<A, SendError>>>,
    ) -> Option<Result<A, SendError>> {
        let (mut left, patient) = (limit, !self.has_others || !self.host.is_reachable());
        loop {
            let wait = if patient { left } else { left.min(LOOK) };
            match within(Some(wait), self.clock, sent.as_mut()).await {
                Ok(answer) => return Some(Ok(answer)),
                Err(Some(error)) => return Some(Err(error)),
                Err(None) => {}
            }
            left = left.saturating_sub(wait);
            if left.is_zero() {
                return None;
            }
            // Its next probe may be far away.
            self.host.suspect();
            if !self.host.is_reachable() {
                return Some(Err(SendError::Dead { to: self.host.peer().to_string() }));
            }
        }
    }

    fn request(&self, question: &Question, body: Bytes) -> Request<Outgoing> {
        let mut request = Request::new(Outgoing::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path_at(self.host, &question.path);
        let headers = request.headers_mut();
        headers.reserve(question.headers.len() + 3);
        headers.extend(question.headers.iter().cloned());
        set_host(headers, self.host, question.authorization.as_ref());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    async fn read(
        &self,
        question: &Question,
        attempt: &Attempt,
        answer: Answer,
        stream: Option<&mut AnswerStream>,
    ) -> Result<Brought, Missed> {
        let Answer { mut head, body } = answer;
        if !head.status.is_success() {
            return Err(self.refused(question, attempt, head.status, head.headers, body).await);
        }
        let content_type = head.headers.remove(header::CONTENT_TYPE);
        drop(head);
        match stream {
            Some(stream) => self.stream(question.endpoint, content_type, body, stream).await,
            None => self.whole(question, content_type, body).await,
        }
    }

    /// Reads a stream up to its first content. A stream that ends before is judged here.
    async fn stream(
        &self,
        endpoint: Endpoint,
        content_type: Option<HeaderValue>,
        mut body: AnswerBody,
        stream: &mut AnswerStream,
    ) -> Result<Brought, Missed> {
        let (mut held, mut has_come): (Vec<Bytes>, bool) = (Vec::new(), false);
        loop {
            let whole = match body.bytes().await {
                Some(Ok(bytes)) => {
                    has_come = true;
                    held.push(stream.take(&bytes)?);
                    if stream.received() != Received::default() || stream.is_over() {
                        return Ok(Brought::Stream { content_type, held, rest: body, question_cut: stream.question_cut() });
                    }
                    continue;
                }
                Some(Err(error)) if !has_come => return Err(Missed::broken(endpoint, &error)),
                Some(Err(_)) => false,
                None => true,
            };
            let end = stream.end(whole)?;
            held.push(end.bytes);
            return Ok(Brought::Whole { content_type, bytes: joined(held), question_cut: end.question_cut });
        }
    }

    fn judged(&self, question: &Question, judgement: Judgement, last: &[u8]) -> Result<bool, OllamaError> {
        judged(question.endpoint, question.asked.clone(), judgement, last, self.accepts_cuts)
    }

    async fn whole(&self, question: &Question, content_type: Option<HeaderValue>, body: AnswerBody) -> Result<Brought, Missed> {
        let endpoint = question.endpoint;
        let (bytes, whole) = collected(body, ANSWER_LIMIT).await.map_err(|error| Missed::broken(endpoint, &error))?;
        let mut reader = Reader::new(question.asked.clone(), 200);
        reader.push(&bytes);
        let question_cut = self.judged(question, reader.end(whole), &bytes)?;
        Ok(Brought::Whole { content_type, bytes, question_cut })
    }

    /// An error of the host, with the facts of its window where the question was too long.
    async fn refused(&self, question: &Question, attempt: &Attempt, status: StatusCode, head: HeaderMap, body: AnswerBody) -> Missed {
        let endpoint = question.endpoint;
        let bytes = match collected(body, ERROR_LIMIT).await {
            Ok((bytes, _)) => bytes,
            Err(error) => return Missed::broken(endpoint, &error),
        };
        let said = ErrorBody::read(&bytes);
        let counted = Refusal::counted(&said).map(|refusal| refusal.facts);
        let message =
            if said.message.is_empty() { format!("{} answered with status {status}", self.host.name()) } else { said.message.clone() };
        let header = |name: &str| head.get(name).and_then(|value| value.to_str().ok());
        let fault = fault_of_body(endpoint, status.as_u16(), header, said, SystemTime::now());
        let too_long = counted.is_some() || is_too_long(&fault);
        let circumstances = too_long.then(|| Circumstances {
            window: Some(self.window_facts(question, attempt, counted.unwrap_or(WindowFacts::UNKNOWN))),
            ..Circumstances::default()
        });
        if status == StatusCode::NOT_FOUND {
            self.host.renew();
        }
        Missed { facts: Facts { circumstances, ..fault.into() }, message, said: Some((status, head, bytes)), loaded: false, differs: false }
    }

    fn window_facts(&self, question: &Question, attempt: &Attempt, counted: WindowFacts) -> WindowFacts {
        let asked = attempt.window.or(self.window).or(question.asked.window.and_then(|window| u32::try_from(window).ok()));
        let least = asked.max(counted.loaded).map_or(0, |window| window.saturating_add(1));
        // A token is about three quarters of a word.
        let estimate = u32::try_from(question.asked.words.saturating_mul(4) / 3).unwrap_or(u32::MAX);
        WindowFacts {
            needed: counted.needed.or(Some(estimate.max(least))),
            estimated: counted.needed.is_none(),
            asked,
            // Only Ollama's routes ask for a window.
            fixed: question.asked.window.is_some() || self.overflow == Overflow::Error || !question.asked.route.is_ollamas(),
            model_limit: self.host.models().and_then(|models| models.find(self.model)?.context_length),
            caller_limit: self.settings.and_then(|settings| settings.window),
            ..counted
        }
    }
}

/// Whether the policy's own classification says that the question is too long.
fn is_too_long(fault: &Fault) -> bool {
    let meaning = upright_logic::classifier::classify(fault);
    fault.kind == FaultKind::HttpStatus && meaning.action == upright_core::types::SuggestedAction::ShortenPrompt && meaning.model_specific
}

/// The pieces as one. A single one is not copied.
fn joined(pieces: Vec<Bytes>) -> Bytes {
    match pieces.as_slice() {
        [one] => one.clone(),
        many => many.concat().into(),
    }
}

/// The whole body, up to `limit` bytes; `false` where the connection broke after its beginning, or it is longer.
async fn collected(mut body: AnswerBody, limit: usize) -> Result<(Bytes, bool), hyper::Error> {
    // Most bodies come in one piece, which is not copied. Of several, all are in `all`.
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    let whole = loop {
        let length = first.len().max(all.len());
        match body.bytes().await {
            Some(Ok(bytes)) if length + bytes.len() > limit => break false,
            Some(Ok(bytes)) if length == 0 => first = bytes,
            Some(Ok(bytes)) => {
                if all.is_empty() {
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&bytes);
            }
            Some(Err(error)) if length == 0 => return Err(error),
            Some(Err(_)) => break false,
            None => break true,
        }
    };
    Ok((if all.is_empty() { first } else { all.freeze() }, whole))
}
