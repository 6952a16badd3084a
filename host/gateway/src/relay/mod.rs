//! Carries a client's request to a host and its answer back. Recovers from failures before the first content.

mod attempt;
mod body;
mod cache;
mod call;
mod entry;
mod passed;
mod place;
mod question;
mod reply;
mod sampling;
mod story;
mod windows;

pub(crate) use body::{Aborted, Relay};
pub(crate) use passed::Passed;
pub(crate) use question::{Question, Wishes};
pub(crate) use reply::Reply;
pub(crate) use story::{Counts, Story};

use crate::config::{Config, Limits, Model, Overflow, Replay};
use crate::front::{self, ErrorFacts};
use crate::hosts::Hosts;
use crate::hosts::host::Host;
use crate::upstream::Pool;
use attempt::{Brought, Missed};
use body::Translation;
use bytes::Bytes;
use cache::{Cache, Kept};
use call::{Call, Came, Stop};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use place::Place;
use sampling::Samplings;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use upright_core::driving::{End, OperationContext as _, Rejected, Run};
use upright_core::random::SystemRandom;
use upright_core::types::SuggestedAction;
use upright_core::{PolicySlot, RetryStrategy};
use upright_protocol::OllamaError;
use windows::Windows;

/// Headers that say what was done.
pub(crate) const ID: HeaderName = HeaderName::from_static("x-upright-id");
const OUTCOME: HeaderName = HeaderName::from_static("x-upright-outcome");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-upright-attempts");
pub(crate) const HOST: HeaderName = HeaderName::from_static("x-upright-host");
const MODEL: HeaderName = HeaderName::from_static("x-upright-model");
const REASON: HeaderName = HeaderName::from_static("x-upright-reason");
const QUESTION: HeaderName = HeaderName::from_static("x-upright-question");
const WINDOW: HeaderName = HeaderName::from_static("x-upright-window");
/// Whether the client should ask again, since the gateway has already retried. OpenAI's clients obey it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Usual number of headers of an answer.
const HEADERS: usize = 6;

/// The parts that all requests share under one configuration.
pub(crate) struct Relays {
    limits: Limits,
    overflow: Overflow,
    accepts_cuts: bool,
    models: BTreeMap<String, Model>,
    cache: Option<Cache>,
    logged: bool,
    policy: PolicySlot,
    strategy: RetryStrategy,
    hosts: Arc<Hosts>,
    counts: Counts,
    windows: Arc<Windows>,
    replay: Replay,
    samplings: Samplings,
    random: SystemRandom,
    ids: Arc<AtomicU64>,
}

impl Relays {
    /// The parts that all requests share under this configuration. The policy decides after failures.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub(crate) fn new(
        config: &Config,
        policy: &PolicySlot,
        hosts: Arc<Hosts>,
        counts: Counts,
    ) -> Result<Self, upright_core::error::ConfigurationError> {
        let retry = &config.retry;
        let mut strategy = RetryStrategy::builder()
            .name("gateway")
            .policy(policy.clone())
            .use_circuit_breaker(false)
            .max_retries(retry.max_retries)
            .base_delay(retry.base_delay)
            .max_delay(retry.max_delay);
        if let Some(total) = config.limits.total {
            strategy = strategy.deadline(total);
        }
        Ok(Self {
            limits: config.limits.clone(),
            overflow: config.window.overflow,
            accepts_cuts: config.window.overflow == Overflow::Truncate || !config.integrity.refuse_cut_questions,
            models: config.models.clone(),
            cache: Cache::new(&config.cache),
            logged: config.log.access,
            policy: policy.clone(),
            strategy: strategy.build()?,
            hosts,
            counts,
            windows: Arc::default(),
            replay: config.replay.clone(),
            samplings: Samplings::default(),
            random: SystemRandom,
            ids: Arc::default(),
        })
    }

    /// The hosts.
    pub(crate) fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// The counts.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A number for the next answer.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The story of a request that is passed through.
    pub(crate) fn story(&self, id: u64, route: &'static str, model: Arc<str>) -> Story {
        Story::through(&self.counts, id, route, model, self.logged)
    }

    /// Settings of a model.
    fn settings(&self, model: &str) -> Option<&Model> {
        self.models.iter().find(|(name, _)| upright_logic::degradation::same_model(name, model)).map(|(_, settings)| settings)
    }

    /// Answers a client's request.
    pub(crate) async fn answer(self: &Arc<Self>, pool: &Rc<Pool>, mut question: Box<Question>) -> Response<Reply> {
        let model = Arc::clone(&question.sent);
        let story = Story::begin(&self.counts, question.id, question.name, Arc::clone(&model), self.logged);
        let asked = question.asked.window.and_then(|window| u32::try_from(window).ok());
        let kind = question.kind;
        let ranking = self.hosts.rank(Some(&question.model), asked, kind);
        let digest = ranking.candidates().first().and_then(|best| best.digest.as_deref());
        let (draft, kept) = self.cache.as_ref().and_then(|cache| cache.find(&question, digest)).unzip();
        let kept: Option<Kept> = kept.flatten();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh()) {
            return serve_kept(&mut question, story, kept, "cached", 0);
        }
        let chain = self.settings(&model).map(|settings| settings.fallback.clone()).unwrap_or_default();
        let cached = kept.as_ref().map(Kept::facts);
        let place = Place::new(Arc::clone(&self.hosts), ranking, kind, &question, chain, cached);
        let came = self.hosts.clock().now();
        let held = {
            let choices = place.choices();
            let hosts: Vec<_> = choices.iter().map(|(_, host)| *host).collect();
            let Limits { queue, total, .. } = self.limits;
            match entry::enter(&hosts, &question.model, None, queue.min(total.unwrap_or(queue))).await {
                Ok((chosen, held)) => {
                    if let Some((index, _)) = choices.get(chosen) {
                        place.switch_host(*index);
                    }
                    held
                }
                Err(full) => return unserved(&question, story, "queue_full", full.to_string(), 1),
            }
        };
        let mut run = Run::within(&self.strategy, place, Some(model));
        if self.limits.total.is_some() {
            // The time in the queue counts toward the total limit.
            run.count_from(came);
        }
        let step = run.admit();
        let mut call = Box::new(Call {
            relays: Arc::clone(self),
            pool: Rc::clone(pool),
            question,
            run,
            story: Some(story),
            busy: None,
            held,
            draft,
            kept,
            missed: None,
            stream: None,
            seed: None,
            is_fixed: false,
            has_begun: false,
        });
        match call.pursue(step).await {
            Ok(came) => self.deliver(call, came),
            Err(stop) => self.stopped(call, stop),
        }
    }

    /// The answer to a request that no host answered.
    fn stopped(&self, mut call: Box<Call>, stop: Stop) -> Response<Reply> {
        let Call { question, story, kept, missed, .. } = &mut *call;
        // It ends with the request.
        let Some(story) = story.take() else { return error(question, &nothing(), HeaderMap::new()) };
        match (stop, kept) {
            (Stop::NoHost, _) => {
                let message =
                    format!("no host serves the model {:?} now; expected a reachable upstream that has it", question.model.as_str());
                unserved(question, story, "no_host", message, 5)
            }
            (Stop::Cached(end), Some(kept)) => serve_kept(question, story, kept, "stale", end.attempts),
            (Stop::Cached(end) | Stop::End(end), _) => self.refusal(question, story, &end, missed.take()),
        }
    }

    /// Hands a host's answer on.
    fn deliver(&self, mut call: Box<Call>, came: Came) -> Response<Reply> {
        let Came { attempt, host, brought } = came;
        let (content_type, question_cut) = brought.head();
        if let Some(draft) = &mut call.draft {
            draft.content_type = content_type.cloned();
        }
        let question = &mut call.question;
        // The cache has answers of one form.
        let is_cached = !question.is_plain || question.other.is_none();
        let mut headers = answered(question, content_type);
        describe(&mut headers, question.id, "live", attempt.number, Some(&host), attempt.model.as_deref());
        if self.overflow == Overflow::Truncate && question.asked.route.is_ollamas() {
            headers.insert(WINDOW, HeaderValue::from_static("truncate"));
        }
        if question_cut {
            headers.insert(QUESTION, HeaderValue::from_static("cut"));
        }
        if !is_cached {
            call.draft = None;
        }
        call.has_begun = true;
        let body = match brought {
            Brought::Stream { held, rest, .. } => {
                call.question.detach();
                let translation = call.question.writer.take().map(Translation::new);
                let between = self.between(&call.question);
                Reply::Relay(Box::new(Relay::new(rest, translation, held, between, call)))
            }
            Brought::Whole { bytes, .. } => match whole(&mut call.question, &bytes) {
                Ok(body) => {
                    call.came(&bytes);
                    call.succeeded(question_cut);
                    body.into()
                }
                Err(failed) => {
                    let facts = ErrorFacts { status: 502, message: failed.to_string(), code: None, retry_after: None };
                    call.broken(&failed);
                    return error(&call.question, &facts, headers);
                }
            },
        };
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }

    /// Maximum silence between two pieces of content. With tools or a format it is at least the limit for the first
    /// content: a tool call comes in one piece, and Ollama reads a question with a format twice.
    fn between(&self, question: &Question) -> Duration {
        let Limits { between_content, first_content, .. } = &self.limits;
        if question.asked.tools || question.asked.format { (*between_content).max(*first_content) } else { *between_content }
    }

    /// The error that the client gets when nothing helped.
    fn refusal(&self, question: &Question, story: Story, end: &End, missed: Option<Missed>) -> Response<Reply> {
        let mut headers = HeaderMap::new();
        describe(&mut headers, story.id(), "failed", end.attempts, story.host().map(|host| &**host), None);
        headers.insert(REASON, HeaderValue::from_static(end.reason.name()));
        let retry_after = retry_after(end);
        // Another request helps only after the time that the answer names.
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(if retry_after.is_some() { "true" } else { "false" }));
        let meaning = end.classification.as_ref();
        let is_too_long = meaning.is_some_and(|meaning| meaning.action == SuggestedAction::ShortenPrompt);
        let message = missed.as_ref().map_or_else(|| rejection(end), |missed| missed.message.clone());
        story.end("failed", end.attempts, Some(message.clone()));
        let said = missed.as_ref().and_then(|missed| missed.said.as_ref());
        if let (Some((status, head, bytes)), None) = (said, &question.writer) {
            // The host's own words, byte for byte.
            for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
                if let Some(value) = head.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
            let mut response = Response::new(bytes.clone().into());
            *response.status_mut() = *status;
            *response.headers_mut() = headers;
            return response;
        }
        let status = match said {
            _ if is_too_long => 400,
            Some((status, ..)) => status.as_u16(),
            None if end.rejected.is_some() => 503,
            None if missed.as_ref().is_some_and(|missed| missed.facts.fault.kind == upright_core::types::FaultKind::Timeout) => 504,
            None => 502,
        };
        let code = if is_too_long { Some("context_length_exceeded") } else { None };
        error(question, &ErrorFacts { status, message, code, retry_after }, headers)
    }
}

fn nothing() -> ErrorFacts {
    ErrorFacts { status: 502, message: "no attempt was made".to_owned(), code: None, retry_after: None }
}

/// No host takes the request now.
fn unserved(question: &Question, story: Story, outcome: &'static str, message: String, retry_after: u64) -> Response<Reply> {
    let facts = ErrorFacts { status: 503, message: message.clone(), code: None, retry_after: Some(retry_after) };
    let mut headers = HeaderMap::new();
    describe(&mut headers, story.id(), outcome, 0, None, None);
    story.end(outcome, 0, Some(message));
    error(question, &facts, headers)
}

/// Answers from the cache.
fn serve_kept(question: &mut Question, story: Story, kept: &Kept, outcome: &'static str, attempts: u32) -> Response<Reply> {
    let mut headers = answered(question, kept.content_type.as_ref());
    describe(&mut headers, story.id(), outcome, attempts, None, None);
    headers.insert(header::AGE, kept.age().as_secs().into());
    match whole(question, &kept.bytes) {
        Ok(body) => {
            story.end(outcome, attempts, None);
            let mut response = Response::new(body.into());
            *response.headers_mut() = headers;
            response
        }
        Err(failed) => {
            let facts = ErrorFacts { status: 502, message: failed.to_string(), code: None, retry_after: None };
            story.end("broken", attempts, Some(failed.to_string()));
            error(question, &facts, headers)
        }
    }
}

/// Head of the answer to a client, for a host's answer of this type.
fn answered(question: &Question, content_type: Option<&HeaderValue>) -> HeaderMap {
    // One allocation for all headers of an answer.
    let (streamed, mut headers) = (question.asked.streamed, HeaderMap::with_capacity(HEADERS));
    let written = question.writer.as_ref().map(|writer| HeaderValue::from_static(writer.wire(streamed)));
    if let Some(content_type) = written.or_else(|| content_type.cloned()) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    if streamed && (question.writer.is_some() || !question.asked.route.is_ollamas()) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    headers
}

/// A whole answer in the client's protocol. A client that reads a stream gets it as one.
fn whole(question: &mut Question, bytes: &Bytes) -> Result<Bytes, OllamaError> {
    let Some(writer) = &mut question.writer else { return Ok(bytes.clone()) };
    let unreadable = |_| upright_protocol::unreadable(question.endpoint, bytes);
    if !question.asked.streamed {
        return writer.whole(bytes).map(Bytes::from).map_err(unreadable);
    }
    let mut out = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        writer.line(line, &mut out).map_err(unreadable)?;
    }
    writer.end(&mut out);
    Ok(out.into())
}

fn rejection(end: &End) -> String {
    match &end.rejected {
        Some(Rejected::CircuitOpen(open)) => open.to_string(),
        Some(Rejected::BulkheadFull(full)) => full.to_string(),
        None => "no attempt was made".to_owned(),
    }
}

fn retry_after(end: &End) -> Option<u64> {
    match &end.rejected {
        Some(Rejected::CircuitOpen(open)) => Some(open.time_left().map_or(1, |left| left.as_secs() + 1)),
        Some(Rejected::BulkheadFull(_)) => Some(1),
        None => None,
    }
}

/// Says in the headers of an answer what was done.
pub(crate) fn describe(headers: &mut HeaderMap, id: u64, outcome: &'static str, attempts: u32, host: Option<&Host>, model: Option<&str>) {
    headers.insert(ID, id.into());
    headers.insert(OUTCOME, HeaderValue::from_static(outcome));
    headers.insert(ATTEMPTS, attempts.into());
    // Names that no header can hold are left out.
    if let Some(label) = host.and_then(Host::label) {
        headers.insert(HOST, label.clone());
    }
    if let Some(model) = model.and_then(|model| HeaderValue::from_str(model).ok()) {
        headers.insert(MODEL, model);
    }
}

fn error(question: &Question, facts: &ErrorFacts, mut headers: HeaderMap) -> Response<Reply> {
    if let Some(seconds) = facts.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    let answer = match &question.writer {
        Some(writer) => writer.error(facts),
        None => front::error(question.asked.route, question.id, facts),
    };
    respond(answer.status, answer.content_type, answer.body, headers)
}

fn respond(status: u16, content_type: &'static str, body: Vec<u8>, mut headers: HeaderMap) -> Response<Reply> {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut response = Response::new(Bytes::from(body).into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    response
}
