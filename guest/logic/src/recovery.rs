//! What to do next (`wit/recovery.wit`): the one call that a failure costs.

use crate::backoff::{self, RetryConfig};
use crate::breaker::{self, BreakerConfig, BreakerState, Event, Observation, Phase, Transition};
use crate::classifier::classify;
use crate::degradation::may_serve_cached;
use crate::health::{ResourceSnapshot, ResourceThresholds};
use crate::types::{Classification, ErrorCategory, Fact, Fault, FaultKind, Instant, Seconds, SuggestedAction};
use alloc::string::String;
use alloc::vec::Vec;

mod window;

pub use window::{MemoryOwner, WindowFacts};

/// The breaker that guards the call.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Guard {
    /// How it behaves.
    pub config: BreakerConfig,
    /// Where it stands.
    pub state: BreakerState,
    /// The generation in which the failed call was let through.
    pub generation: u64,
    /// Calls that succeeded under `All` since the host last asked.
    pub successes: u64,
    /// How long the attempt that failed took; seconds, 0 where that was not measured.
    #[cfg_attr(feature = "serde", serde(default))]
    pub took: Seconds,
}

/// What is known of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ModelFacts {
    /// Its own window; tokens.
    #[cfg_attr(feature = "serde", serde(default))]
    pub window: Option<u32>,
    /// The window that it is loaded with; tokens, none where it is not loaded or that is not known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub loaded_window: Option<u32>,
    /// What it takes in memory; bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub size_bytes: Option<u64>,
    /// Whether it takes tools, where that is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub tools: Option<bool>,
    /// Whether it takes images, where that is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub images: Option<bool>,
    /// Whether it thinks, where that is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub thinking: Option<bool>,
}

/// The model in use and those that may take its place, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ModelChoice {
    /// The model in use.
    pub current: String,
    /// Those that may be used, best first.
    pub chain: Vec<String>,
    /// What is known of the models of the chain, in its order; none where nothing is.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub known: Option<Vec<ModelFacts>>,
}

/// A host that could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HostFacts {
    /// Whether it has the model in use, where that is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub has_model: Option<bool>,
    /// Whether its model is the same to the byte as that of the host in use, where that is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub same_digest: Option<bool>,
    /// The window that it has the model loaded with; tokens, none where it is not loaded.
    #[cfg_attr(feature = "serde", serde(default))]
    pub loaded_window: Option<u32>,
    /// Whether its breaker lets a request through.
    pub breaker: Phase,
    /// Requests of ours that it is busy with.
    pub outstanding: u32,
    /// Attempts of this operation that failed there.
    pub failed: u32,
}

/// The hosts that could be asked, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HostChoice {
    /// The index of the host in use.
    pub current: u32,
    /// All of them.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hosts: Vec<HostFacts>,
}

named_enum! {
    /// How a client speaks.
    pub enum ClientProtocol {
        /// Not through a gateway: the library's own call.
        Direct = "direct",
        /// `/api/chat`.
        OllamaChat = "ollama_chat",
        /// `/api/generate`.
        OllamaGenerate = "ollama_generate",
        /// `/api/embed`.
        OllamaEmbed = "ollama_embed",
        /// `/v1/chat/completions`.
        OpenaiChat = "openai_chat",
        /// `/v1/completions`.
        OpenaiCompletions = "openai_completions",
        /// `/v1/responses`.
        OpenaiResponses = "openai_responses",
        /// `/v1/embeddings`.
        OpenaiEmbeddings = "openai_embeddings",
        /// `/v1/messages`.
        AnthropicMessages = "anthropic_messages",
        /// Another route.
        Other = "other",
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RequestFacts {
    /// How the client speaks.
    pub protocol: ClientProtocol,
    /// The answer comes piece by piece.
    pub streamed: bool,
    /// It offers tools.
    pub tools: bool,
    /// It asks for JSON, or for JSON of a schema.
    pub format: bool,
    /// It asks the model to think.
    pub thinking: bool,
    /// It holds images.
    pub images: bool,
    /// The caller chose the seed: asking again gives the same answer.
    pub seed_fixed: bool,
    /// The temperature that the caller chose; at 0 asking again gives the same answer.
    #[cfg_attr(feature = "serde", serde(default))]
    pub temperature: Option<f64>,
    /// The caller takes an empty answer for an answer.
    pub allows_empty: bool,
}

named_enum! {
    /// What the judge of an exchange says of it.
    pub enum ExchangeVerdict {
        /// Nothing came, or an error did.
        Failed = "failed",
        /// Its end is missing.
        Cut = "cut",
        /// It came whole and says nothing.
        Empty = "empty",
        /// It ends because its length was used up.
        UsedUpLength = "used_up_length",
        /// The server stopped a model that repeated itself.
        Repetition = "repetition",
        /// The server had dropped a part of the question.
        QuestionCut = "question_cut",
        /// A whole answer.
        Whole = "whole",
    }
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ExchangeFacts {
    /// What the judge says.
    pub verdict: ExchangeVerdict,
    /// Characters of the answer's text that the caller has already.
    pub delivered_text: u64,
    /// Characters of thinking that the caller has already.
    pub delivered_thinking: u64,
    /// Tool calls that the caller has already.
    pub delivered_tool_calls: u32,
    /// Characters of thinking that came, delivered or not.
    pub thinking: u64,
    /// Tokens of the question that the server read.
    #[cfg_attr(feature = "serde", serde(default))]
    pub prompt_tokens: Option<u32>,
    /// Tokens that the model wrote.
    #[cfg_attr(feature = "serde", serde(default))]
    pub answer_tokens: Option<u32>,
}

/// How an answer that was cut may be finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rescue {
    /// Asking again gives the same text: what the caller has already can be left out of it.
    pub replay: bool,
    /// The model goes on from a text that it is handed.
    pub prefill: bool,
    /// The caller lets itself be told to begin again.
    pub restart: bool,
}

/// An attempt of this operation that failed before.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PastAttempt {
    /// The index of its model in the chain.
    #[cfg_attr(feature = "serde", serde(default))]
    pub model: Option<u32>,
    /// The index of its host.
    #[cfg_attr(feature = "serde", serde(default))]
    pub host: Option<u32>,
    /// What its failure meant.
    pub category: ErrorCategory,
    /// The rule that matched.
    pub rule: String,
    /// How long it took; seconds.
    pub took: Seconds,
}

/// A cached answer to the same request.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CachedAnswer {
    /// Its age; seconds.
    pub age: Seconds,
    /// How old an answer the caller accepts; seconds.
    pub max_age: Seconds,
}

/// What could serve in place of a live answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AtHand {
    /// The caller gave a fallback.
    pub fallback: bool,
    /// An answer from earlier.
    #[cfg_attr(feature = "serde", serde(default))]
    pub cached: Option<CachedAnswer>,
    /// State to resume from.
    pub checkpoint: bool,
    /// The caller can run a simplified workflow, and has not yet.
    pub can_simplify: bool,
}

/// What else is known of the request, its answer and the hosts; none of it for most failures.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Circumstances {
    /// The hosts, where there is a choice.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hosts: Option<HostChoice>,
    /// What was asked for, where it was a question to a model.
    #[cfg_attr(feature = "serde", serde(default))]
    pub request: Option<RequestFacts>,
    /// The window, where it has to do with the failure.
    #[cfg_attr(feature = "serde", serde(default))]
    pub window: Option<WindowFacts>,
    /// What came of the answer, where anything was judged.
    #[cfg_attr(feature = "serde", serde(default))]
    pub exchange: Option<ExchangeFacts>,
    /// How the answer may be finished, where a part of it was delivered.
    #[cfg_attr(feature = "serde", serde(default))]
    pub rescue: Option<Rescue>,
    /// The attempts before, oldest first.
    #[cfg_attr(feature = "serde", serde(default))]
    pub history: Vec<PastAttempt>,
    /// Facts without a field of their own.
    #[cfg_attr(feature = "serde", serde(default))]
    pub more: Vec<Fact>,
}

/// One failure and everything that bears on it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Incident {
    /// What failed.
    pub failure: Fault,
    /// The number of the attempt that failed, from 0 for the model in use.
    pub attempt: u32,
    /// Since the operation began; seconds.
    pub elapsed: Seconds,
    /// How long it may take in all; seconds, none for no limit.
    #[cfg_attr(feature = "serde", serde(default))]
    pub deadline: Option<Seconds>,
    /// Whether repeating the call can do no harm.
    pub idempotent: bool,
    /// Retries that the shared budget has room for, this one included; none where there is no budget.
    #[cfg_attr(feature = "serde", serde(default))]
    pub retry_budget: Option<u32>,
    /// When and how often the caller retries.
    pub retry: RetryConfig,
    /// In [0, 1).
    pub random: f64,
    /// When it failed.
    pub now: Instant,
    /// The breaker, where there is one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub guard: Option<Guard>,
    /// The models, where there is a choice.
    #[cfg_attr(feature = "serde", serde(default))]
    pub models: Option<ModelChoice>,
    /// What else could serve.
    pub at_hand: AtHand,
    /// What the machine has left, where it is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub resources: Option<ResourceSnapshot>,
    /// What else is known of the request, its answer and the hosts.
    #[cfg_attr(feature = "serde", serde(default))]
    pub circumstances: Option<Circumstances>,
}

impl Incident {
    /// A first attempt that failed like this, with nothing else at hand and the specification's settings for retries.
    pub fn of(failure: Fault) -> Self {
        Self {
            failure,
            attempt: 0,
            elapsed: 0.0,
            deadline: None,
            idempotent: true,
            retry_budget: None,
            retry: RetryConfig::default(),
            random: 0.0,
            now: 0,
            guard: None,
            models: None,
            at_hand: AtHand::default(),
            resources: None,
            circumstances: None,
        }
    }
}

/// What the host shall do.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Directive {
    /// Wait so many seconds, then try the same call again.
    RetryAfter(Seconds),
    /// Ask the same model at the same host once more, at once: what it wrote was of no use. Counts as a retry.
    AskAgain,
    /// Try the model at this index of the chain.
    SwitchModel(u32),
    /// Try the same call on the host at this index, at once.
    SwitchHost(u32),
    /// Ask the same model for a window of this many tokens, at once.
    EnlargeWindow(u32),
    /// Ask the host at this index the same again, and leave out what the caller has already.
    Replay(u32),
    /// Let the model at this host go on from what the caller has.
    ContinueAnswer(u32),
    /// Let the caller begin again, with an answer of this host.
    RestartAnswer(u32),
    /// Give the caller what came, and say what is missing.
    Accept,
    /// Try again with a simplified workflow.
    Simplify,
    /// Serve the cached answer.
    ServeCached,
    /// Run the caller's fallback.
    UseFallback,
    /// Return the failure to the caller.
    GiveUp,
}

named_enum! {
    /// Why the same call is, or is not, tried again.
    pub enum Reason {
        /// It can help, and there is room for it.
        Retryable = "retryable",
        /// Trying again cannot help.
        NotRetryable = "not_retryable",
        /// Another model can do what this one cannot.
        ModelUnsuitable = "model_unsuitable",
        /// Another host can do what this one cannot.
        HostUnsuitable = "host_unsuitable",
        /// The question does not fit the window.
        WindowTooSmall = "window_too_small",
        /// What the model wrote is of no use, or nothing.
        AnswerUnusable = "answer_unusable",
        /// The answer was cut.
        AnswerCut = "answer_cut",
        /// All attempts are used.
        AttemptsExhausted = "attempts_exhausted",
        /// The budget of retries that callers share is used up.
        BudgetExhausted = "budget_exhausted",
        /// The next attempt would begin after the deadline.
        DeadlineExceeded = "deadline_exceeded",
        /// The server asks for a longer wait than the caller allows.
        RetryAfterTooLong = "retry_after_too_long",
        /// The circuit breaker has opened, or was open.
        CircuitOpen = "circuit_open",
        /// Repeating the call could do harm.
        NotIdempotent = "not_idempotent",
        /// The caller went away.
        Cancelled = "cancelled",
    }
}

/// The policy's answer to an incident.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Verdict {
    /// What the failure means.
    pub classification: Classification,
    /// The breaker's next state, where there is a breaker.
    pub breaker: Option<Transition>,
    /// What to do.
    pub directive: Directive,
    /// Why.
    pub reason: Reason,
    /// Advice without a field of its own; a host may leave alone what it does not know.
    #[cfg_attr(feature = "serde", serde(default))]
    pub more: Option<Vec<Fact>>,
}

/// Failures before which nothing was done: the call did not reach the service, or was refused. Repeating it repeats nothing.
fn nothing_was_done(failure: &Fault) -> bool {
    use FaultKind::{BulkheadFull, CircuitOpen, ConnectionRefused, Dns, HttpStatus, Tls, Unreachable};
    match failure.kind {
        ConnectionRefused | Dns | Unreachable | Tls | CircuitOpen | BulkheadFull => true,
        // 408 and 499 come when the server had begun.
        HttpStatus => matches!(failure.status, Some(400..=407 | 409..=498)),
        _ => false,
    }
}

/// Classifies the failure, moves the breaker on, and says what to do.
pub fn decide(mut incident: Incident) -> Verdict {
    let classification = classify(&incident.failure);
    let breaker = incident.guard.take().map(|guard| {
        let event = if classification.counted { Event::Failure(guard.generation) } else { Event::Ignored(guard.generation) };
        let observation = Observation { event, now: incident.now, successes: guard.successes, took: guard.took };
        breaker::step(&guard.config, guard.state, &observation)
    });
    let open = breaker.as_ref().is_some_and(|transition| transition.state.phase == Phase::Open);
    let again = same_call_again(&incident, &classification, open);
    let (directive, reason) = match again {
        Err(reason) if window::is_too_small(&incident, &classification) => too_small(&incident, &classification, reason, open),
        // Nothing has to recover from a model's own words: there is nothing to wait for.
        Ok(_) if is_output(&classification) => (Directive::AskAgain, Reason::Retryable),
        Ok(delay) => (Directive::RetryAfter(delay), Reason::Retryable),
        Err(reason) => (instead(&incident, &classification, reason), reason),
    };
    Verdict { classification, breaker, directive, reason, more: None }
}

/// The directive where the question does not fit: a larger window, else the best that serves in its place.
fn too_small(incident: &Incident, classification: &Classification, reason: Reason, open: bool) -> (Directive, Reason) {
    let repeatable = incident.idempotent || nothing_was_done(&incident.failure);
    let larger = if repeatable && !open { window::enlarged(incident) } else { None };
    let reason = if matches!(reason, Reason::ModelUnsuitable | Reason::NotRetryable) { Reason::WindowTooSmall } else { reason };
    (larger.map_or_else(|| instead(incident, classification, reason), Directive::EnlargeWindow), reason)
}

/// Whether it is the model's own words that are of no use, and nothing else has failed.
fn is_output(classification: &Classification) -> bool {
    classification.action == SuggestedAction::Resample && !classification.counted
}

/// Whether the model would write the same again, or run out of the same room: the caller fixed what it draws from, or its thinking used up the length.
fn would_be_the_same(incident: &Incident) -> bool {
    let Some(known) = &incident.circumstances else { return false };
    let fixed = known.request.is_some_and(|request| request.seed_fixed || request.temperature == Some(0.0));
    fixed || known.exchange.is_some_and(|exchange| exchange.verdict == ExchangeVerdict::UsedUpLength)
}

/// The delay after which to try the same call again, or why not.
fn same_call_again(incident: &Incident, classification: &Classification, open: bool) -> Result<Seconds, Reason> {
    // The host has let go of a window that it had chosen by itself, so the same call is a lighter one.
    let undone = window::may_be_undone(incident, classification);
    let limit = if undone { u32::MAX } else { classification.retry_limit.unwrap_or(u32::MAX) }.min(incident.retry.max_retries);
    if classification.action == SuggestedAction::Nothing {
        return Err(Reason::Cancelled);
    }
    // An open breaker is there to reject at once: whoever would wait for it may do so outside.
    if incident.failure.kind == FaultKind::CircuitOpen {
        return Err(Reason::CircuitOpen);
    }
    if !undone && (!classification.retryable || classification.retry_limit == Some(0)) {
        return Err(if classification.model_specific { Reason::ModelUnsuitable } else { Reason::NotRetryable });
    }
    if !incident.idempotent && !nothing_was_done(&incident.failure) {
        return Err(Reason::NotIdempotent);
    }
    if is_output(classification) && would_be_the_same(incident) {
        return Err(Reason::AnswerUnusable);
    }
    if open {
        return Err(Reason::CircuitOpen);
    }
    if incident.attempt >= limit {
        return Err(Reason::AttemptsExhausted);
    }
    if incident.retry_budget == Some(0) {
        return Err(Reason::BudgetExhausted);
    }
    // Where memory is short already, the same model will not find more of it.
    let memory_in_use = incident.resources.and_then(|snapshot| snapshot.memory_percent());
    let short_of_memory = memory_in_use.is_some_and(|percent| percent > ResourceThresholds::default().memory_percent);
    if classification.category == ErrorCategory::Resource && short_of_memory && !undone {
        return Err(Reason::ModelUnsuitable);
    }
    let backoff = backoff::delay(&incident.retry, incident.attempt, incident.random);
    let asked = backoff::sane(incident.failure.retry_after.unwrap_or(0.0));
    if asked > incident.retry.max_delay {
        return Err(Reason::RetryAfterTooLong);
    }
    let delay = if is_output(classification) {
        0.0
    } else if asked > 0.0 {
        backoff::as_asked(asked, incident.random)
    } else {
        backoff
    };
    match incident.deadline {
        Some(deadline) if incident.elapsed + delay >= deadline => Err(Reason::DeadlineExceeded),
        _ => Ok(delay),
    }
}

/// What serves best when the same call is not tried again: another model, a lighter workflow, an older answer, the caller's fallback.
fn instead(incident: &Incident, classification: &Classification, reason: Reason) -> Directive {
    use ErrorCategory::{Resource, Timeout, Transient};
    let time_left = incident.deadline.is_none_or(|deadline| incident.elapsed < deadline);
    let repeatable = incident.idempotent || nothing_was_done(&incident.failure);
    let another_call = reason != Reason::Cancelled && time_left && repeatable;
    let another_model = classification.model_specific || matches!(classification.category, Transient | Timeout | Resource);
    let lighter = matches!(classification.category, Timeout | Resource) || classification.action == SuggestedAction::ShortenPrompt;
    let serves = |cached: crate::recovery::CachedAnswer| may_serve_cached(cached.age, cached.max_age, classification);

    if another_call
        && another_model
        && let Some(index) = window::next_model(incident, classification)
    {
        Directive::SwitchModel(index)
    } else if another_call && lighter && incident.at_hand.can_simplify {
        Directive::Simplify
    } else if incident.at_hand.cached.is_some_and(serves) {
        Directive::ServeCached
    } else if incident.at_hand.fallback && reason != Reason::Cancelled {
        Directive::UseFallback
    } else {
        Directive::GiveUp
    }
}

#[cfg(test)]
mod tests;
