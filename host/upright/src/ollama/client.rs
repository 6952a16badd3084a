//! Calls an Ollama server, each call within its limits of time and size.

use super::address::BaseUrl;
use super::learned::Learned;
use super::messages::{ChatAnswer, ChatChunk, ChatRequest, EmbedRequest, Embeddings, LoadedModel, ModelInfo, Models, Version, Written};
use super::question::Question;
use super::setup::{SetupError, is_tls};
use super::{finished, stream};
use crate::types::{Endpoint, Fault, FaultKind};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::{Either, select};
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use upright_core::clock::{SharedClock, SystemClock};
use upright_core::fault::fault_of;
use upright_protocol::{ANSWER_LIMIT, ErrorBody, Exchange, Judge, ModelCard, OllamaError, Refusal, Timeout, Verdict, fault_of_body};

const RUNNING: &str = "Ollama is running";
const ERROR_LIMIT: usize = 64 << 10;

/// Time limits of the parts of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect. Default 5 s.
    pub connect: Duration,
    /// From the request to the answer's headers. Default 10 min: Ollama sends nothing while a request is queued or a
    /// model loads, and hanging up aborts the load. Without streaming the headers come with the complete answer.
    pub load: Duration,
    /// From the headers of a stream to its first token. Default 2 min.
    pub first_token: Duration,
    /// Between two tokens; Ollama holds back a tool call until it is whole. Default 2 min.
    pub between_tokens: Duration,
    /// A whole short request, such as a list of models, or the body of an answer without streaming. Default 10 s.
    pub total_for_short_requests: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            load: Duration::from_secs(600),
            first_token: Duration::from_secs(120),
            between_tokens: Duration::from_secs(120),
            total_for_short_requests: Duration::from_secs(10),
        }
    }
}

impl Timeouts {
    fn limit(&self, timeout: Timeout) -> Duration {
        match timeout {
            Timeout::Connect => self.connect,
            Timeout::Load => self.load,
            Timeout::FirstToken => self.first_token,
            Timeout::BetweenTokens => self.between_tokens,
            Timeout::Whole => self.total_for_short_requests,
        }
    }
}

/// Builds an [`OllamaClient`].
#[derive(Clone)]
#[must_use]
pub struct OllamaClientBuilder {
    address: BaseUrl,
    timeouts: Timeouts,
    clock: SharedClock,
}

impl OllamaClientBuilder {
    /// Time limits of the phases of a call.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The clock; the system's by default.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// The client. Sends nothing yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn build(self) -> Result<OllamaClient, SetupError> {
        OllamaClient::with(self.address, self.timeouts, self.clock)
    }
}

/// A client of one Ollama server. Clones share its connections and its knowledge of models. Needs a tokio runtime with
/// time enabled.
#[derive(Clone)]
pub struct OllamaClient {
    http: reqwest::Client,
    address: BaseUrl,
    timeouts: Timeouts,
    pub(super) clock: SharedClock,
    pub(super) learned: Arc<Learned>,
}

impl std::fmt::Debug for OllamaClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OllamaClient").field("address", &self.address).field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl OllamaClient {
    /// A client of the server at this address, with the default timeouts. Sends nothing yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(address: BaseUrl) -> Result<Self, SetupError> {
        Self::builder(address).build()
    }

    /// Builds a client of the server at this address.
    pub fn builder(address: BaseUrl) -> OllamaClientBuilder {
        OllamaClientBuilder { address, timeouts: Timeouts::default(), clock: SystemClock::shared() }
    }

    fn with(address: BaseUrl, timeouts: Timeouts, clock: SharedClock) -> Result<Self, SetupError> {
        prepare_tls(&address)?;
        // A redirected POST would become a GET, or send its prompt to a stranger.
        let mut http = reqwest::Client::builder().connect_timeout(timeouts.connect).redirect(reqwest::redirect::Policy::none());
        if address.is_loopback() {
            http = http.no_proxy();
        }
        Ok(Self { http: http.build().map_err(SetupError::Http)?, address, timeouts, clock, learned: Arc::default() })
    }

    /// The server's address.
    pub fn address(&self) -> &BaseUrl {
        &self.address
    }

    /// Checks that an Ollama server answers (`GET /`). Any other answer is [`OllamaError::InvalidAnswer`].
    pub async fn is_running(&self) -> Result<(), OllamaError> {
        let endpoint = Endpoint::Version;
        let body = self.short("/", endpoint).await?;
        if body.trim_ascii() == RUNNING.as_bytes() { Ok(()) } else { Err(OllamaError::invalid(endpoint, "\"Ollama is running\"", &body)) }
    }

    /// The server's version (`/api/version`).
    pub async fn version(&self) -> Result<String, OllamaError> {
        let body = self.short("/api/version", Endpoint::Version).await?;
        Ok(parse::<Version>(&body, Endpoint::Version, "a version")?.version)
    }

    /// The server's models (`/api/tags`).
    pub async fn tags(&self) -> Result<Vec<ModelInfo>, OllamaError> {
        let body = self.short("/api/tags", Endpoint::Tags).await?;
        Ok(parse::<Models<ModelInfo>>(&body, Endpoint::Tags, "a list of models")?.models)
    }

    /// The models in memory (`/api/ps`).
    pub async fn loaded(&self) -> Result<Vec<LoadedModel>, OllamaError> {
        let body = self.short("/api/ps", Endpoint::Ps).await?;
        Ok(parse::<Models<LoadedModel>>(&body, Endpoint::Ps, "a list of loaded models")?.models)
    }

    /// The server's card of a model (`/api/show`): window, abilities, memory for each token of window.
    pub async fn show(&self, model: &str) -> Result<ModelCard, OllamaError> {
        let (endpoint, path) = (Endpoint::Show, "/api/show");
        let body = self.brief(self.http.post(self.address.at(path)).json(&json!({ "model": model })), endpoint).await?;
        Ok(ModelCard::of(&parse(&body, endpoint, "a model's card")?))
    }

    /// Asks for the next message of a conversation, whole (`/api/chat`).
    pub async fn chat(&self, request: ChatRequest) -> Result<ChatAnswer, OllamaError> {
        let outcome = self.chat_once(request).await;
        #[cfg(feature = "metrics")]
        crate::metrics::answered(outcome.as_ref().map(|answer| &answer.verdict));
        outcome
    }

    async fn chat_once(&self, request: ChatRequest) -> Result<ChatAnswer, OllamaError> {
        let mut question = Question::chat(&request, false)?;
        let body = self.ask(&mut question).await?;
        let endpoint = question.endpoint;
        let body = self.within(Timeout::Whole, endpoint, self.body(body, endpoint)).await?;
        let written: Written = parse(&body, endpoint, "a chat's answer")?;
        if let Some(said) = written.failure() {
            return Err(OllamaError::in_stream(endpoint, said));
        }
        let mut judge = Judge::new(question.asked.clone());
        judge.take(&written.piece());
        if written.message.is_none() || written.done.is_none() {
            return Err(OllamaError::invalid(endpoint, "a chat's answer", &body));
        }
        let notice = self.learn(&question, &written.timings, &mut judge).await;
        let verdict = OllamaError::judged(endpoint, &judge)?;
        let Written { model, message, done_reason, timings, .. } = written;
        Ok(ChatAnswer { model, message: message.unwrap_or_default(), done_reason, timings, verdict, notice })
    }

    /// Asks for the next message of a conversation, piece by piece (`/api/chat`).
    ///
    /// The last item is a `done` piece or an error; a stream that just ends is [`OllamaError::Incomplete`]. Dropping
    /// the stream hangs up.
    pub fn chat_stream(&self, request: ChatRequest) -> impl Stream<Item = Result<ChatChunk, OllamaError>> + Send + use<> {
        stream::chat(self.clone(), request)
    }

    /// Asks for the next message of a conversation, piece by piece, and recovers from failures by this strategy.
    ///
    /// An answer that is cut after its first piece is asked for again, and compared with the pieces that the caller
    /// has. While both are equal nothing comes; then the rest does. A repeat that differs is an error: no answer is
    /// made of two. Only a request with a `seed`, or with temperature 0, is repeated after its first piece.
    ///
    /// The last item is a `done` piece or an [`Error`](crate::error::Error).
    pub fn chat_stream_with(
        &self,
        strategy: &upright_core::RetryStrategy,
        request: ChatRequest,
    ) -> impl Stream<Item = Result<ChatChunk, crate::error::Error>> + Send + use<> {
        finished::chat(self.clone(), strategy, request)
    }

    /// Embeds texts as vectors (`/api/embed`). Rejects a text longer than the window: a vector of its beginning would
    /// stand for all of it.
    pub async fn embed(&self, model: &str, inputs: &[&str]) -> Result<Embeddings, OllamaError> {
        self.embed_with(EmbedRequest::of(model, inputs)).await
    }

    /// Embeds texts as vectors, with options.
    pub async fn embed_with(&self, request: EmbedRequest) -> Result<Embeddings, OllamaError> {
        let outcome = self.embed_once(request).await;
        #[cfg(feature = "metrics")]
        crate::metrics::answered(outcome.as_ref().map(|_| &Verdict::Whole));
        outcome
    }

    async fn embed_once(&self, request: EmbedRequest) -> Result<Embeddings, OllamaError> {
        let mut question = Question::embed(&request)?;
        let response = self.ask(&mut question).await?;
        let endpoint = question.endpoint;
        let body = self.within(Timeout::Whole, endpoint, self.body(response, endpoint)).await?;
        let embeddings: Embeddings = parse(&body, endpoint, "embeddings")?;
        let mut judge = Judge::new(question.asked.clone());
        judge.take(&embeddings.piece());
        // Embedding writes nothing, so no window slides.
        let _ = self.learned.answered(&question, &embeddings.timings, self.clock.now());
        if let Verdict::QuestionCut(how) = OllamaError::judged(endpoint, &judge)?
            && !request.truncate
        {
            return Err(OllamaError::QuestionCut { endpoint, how, exchange: Exchange::of(&judge) });
        }
        if embeddings.embeddings.len() == request.input.len() {
            return Ok(embeddings);
        }
        let found = format!("{} for {}", embeddings.embeddings.len(), request.input.len());
        Err(OllamaError::InvalidAnswer { endpoint, expected: "one embedding for each text", found })
    }

    async fn short(&self, path: &str, endpoint: Endpoint) -> Result<Bytes, OllamaError> {
        self.brief(self.http.get(self.address.at(path)), endpoint).await
    }

    async fn brief(&self, request: RequestBuilder, endpoint: Endpoint) -> Result<Bytes, OllamaError> {
        let exchange = async {
            let response = self.send(request, endpoint).await?;
            if response.status().is_success() { self.body(response, endpoint).await } else { Err(self.failure(response, endpoint).await) }
        };
        self.within(Timeout::Whole, endpoint, exchange).await
    }

    pub(super) async fn ask(&self, question: &mut Question) -> Result<Response, OllamaError> {
        self.prepare(question).await?;
        let request = self.http.post(self.address.at(question.path)).json(&question.body);
        let response = self.within(Timeout::Load, question.endpoint, self.send(request, question.endpoint)).await?;
        if response.status().is_success() {
            question.sent();
            return Ok(response);
        }
        let error = self.failure(response, question.endpoint).await;
        Err(self.explained(error, question).await)
    }

    async fn send(&self, request: RequestBuilder, endpoint: Endpoint) -> Result<Response, OllamaError> {
        request.send().await.map_err(|error| self.transport(endpoint, error))
    }

    async fn body(&self, mut response: Response, endpoint: Endpoint) -> Result<Bytes, OllamaError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.transport(endpoint, error))? {
            if body.len() + piece.len() > ANSWER_LIMIT {
                let found = format!("more than {} MiB", ANSWER_LIMIT >> 20);
                return Err(OllamaError::InvalidAnswer { endpoint, expected: "an answer of a reasonable size", found });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.into())
    }

    /// Reads an error answer. Its body may break off, stall or never end, so the part that arrives in time counts.
    async fn failure(&self, mut response: Response, endpoint: Endpoint) -> OllamaError {
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        let reading = async {
            while let Ok(Some(piece)) = response.chunk().await {
                body.extend_from_slice(&piece[..piece.len().min(ERROR_LIMIT - body.len())]);
                if body.len() == ERROR_LIMIT {
                    break;
                }
            }
        };
        select(pin!(reading), self.clock.sleep(self.timeouts.total_for_short_requests)).await;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let said = ErrorBody::read(&body);
        let window = Refusal::counted(&said).map(Box::new);
        let fault = fault_of_body(endpoint, status.as_u16(), header, said, self.clock.wall());
        OllamaError::Status { fault: Box::new(fault), window }
    }

    pub(super) async fn within<T>(
        &self,
        timeout: Timeout,
        endpoint: Endpoint,
        work: impl Future<Output = Result<T, OllamaError>>,
    ) -> Result<T, OllamaError> {
        let limit = self.timeouts.limit(timeout);
        match select(pin!(work), self.clock.sleep(limit)).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(OllamaError::Timeout { endpoint, timeout, limit }),
        }
    }

    pub(super) fn transport(&self, endpoint: Endpoint, source: reqwest::Error) -> OllamaError {
        // The HTTP client enforces the connect limit itself.
        if source.is_connect() && source.is_timeout() {
            return OllamaError::Timeout { endpoint, timeout: Timeout::Connect, limit: self.timeouts.connect };
        }
        let fault = fault_of(&source);
        let kind = if is_tls(&source) { FaultKind::Tls } else { fault.kind };
        OllamaError::Transport { fault: Box::new(Fault { kind, endpoint, ..fault }), source: source.into() }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8], endpoint: Endpoint, expected: &'static str) -> Result<T, OllamaError> {
    serde_json::from_slice(body).map_err(|_| OllamaError::invalid(endpoint, expected, body))
}

#[cfg(not(feature = "tls"))]
fn prepare_tls(address: &BaseUrl) -> Result<(), SetupError> {
    if address.is_https() { Err(SetupError::TlsNotBuilt { address: address.to_string() }) } else { Ok(()) }
}

#[cfg(feature = "tls")]
#[expect(clippy::unnecessary_wraps, reason = "it fails in the build without TLS")]
fn prepare_tls(_: &BaseUrl) -> Result<(), SetupError> {
    // Without a provider the HTTP client panics at any address.
    static ONCE: std::sync::Once = std::sync::Once::new();
    // An error means that the program installed its own provider, which serves as well.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Ok(())
}
