//! The next step after a failure (`wit/recovery.wit`), decided in one call.

use crate::backoff::{self, RetryConfig};
use crate::breaker::{self, BreakerConfig, BreakerState, Event, Observation, Phase, Transition};
use crate::classifier::classify;
use crate::degradation::may_serve_cached;
use crate::health::{ResourceSnapshot, ResourceThresholds};
use crate::types::{Classification, ErrorCategory, Fact, Fault, FaultKind, Instant, Seconds, SuggestedAction};
use alloc::string::String;
use alloc::vec::Vec;

mod hosts;
mod rescue;
mod window;

pub use window::{MemoryOwner, WindowFacts};

/// Breaker that guards the call.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Guard {
    /// Settings.
    pub config: BreakerConfig,
    /// State.
    pub state: BreakerState,
    /// Generation that admitted the failed call.
    pub generation: u64,
    /// Number of successes not yet reported.
    pub successes: u64,
    /// Duration of the attempt, seconds; 0 if not measured.
    #[cfg_attr(feature = "serde", serde(default))]
    pub took: Seconds,
}

/// Facts about a model; `None` if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ModelFacts {
    /// Maximum window of the model, tokens.
    #[cfg_attr(feature = "serde", serde(default))]
    pub window: Option<u32>,
    /// Loaded window, tokens; also `None` if not loaded.
    #[cfg_attr(feature = "serde", serde(default))]
    pub loaded_window: Option<u32>,
    /// Size in memory, bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub size_bytes: Option<u64>,
    /// Supports tools.
    #[cfg_attr(feature = "serde", serde(default))]
    pub tools: Option<bool>,
    /// Accepts images.
    #[cfg_attr(feature = "serde", serde(default))]
    pub images: Option<bool>,
    /// Can think.
    #[cfg_attr(feature = "serde", serde(default))]
    pub thinking: Option<bool>,
}

/// Current model and substitutes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ModelChoice {
    /// Current model.
    pub current: String,
    /// Usable models, best first.
    pub chain: Vec<String>,
    /// Facts about `chain`, in its order.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub known: Option<Vec<ModelFacts>>,
}

/// Host that serves models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HostFacts {
    /// Whether it has the current model, if known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub has_model: Option<bool>,
    /// Whether its digest equals the current host's, if known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub same_digest: Option<bool>,
    /// Loaded window, tokens; `None` if not loaded.
    #[cfg_attr(feature = "serde", serde(default))]
    pub loaded_window: Option<u32>,
    /// Phase of its breaker.
    pub breaker: Phase,
    /// Number of our requests in flight.
    pub outstanding: u32,
    /// Number of failed attempts there.
    pub failed: u32,
}

/// Hosts to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HostChoice {
    /// Index of the current host.
    pub current: u32,
    /// Hosts, best first.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hosts: Vec<HostFacts>,
}

named_enum! {
    /// Client protocol.
    pub enum ClientProtocol {
        /// Library call without gateway.
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

/// Facts about the request.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RequestFacts {
    /// Client protocol.
    pub protocol: ClientProtocol,
    /// Streams the answer.
    pub streamed: bool,
    /// Offers tools.
    pub tools: bool,
    /// Asks for JSON.
    pub format: bool,
    /// Asks for thinking.
    pub thinking: bool,
    /// Contains images.
    pub images: bool,
    /// Fixed seed: repeats give equal answers.
    pub seed_fixed: bool,
    /// Temperature, if set; at 0 repeats give equal answers.
    #[cfg_attr(feature = "serde", serde(default))]
    pub temperature: Option<f64>,
    /// Accepts an empty answer.
    pub allows_empty: bool,
}

named_enum! {
    /// Judgement of an answer.
    pub enum ExchangeVerdict {
        /// No answer, or an error.
        Failed = "failed",
        /// Its end is missing.
        Cut = "cut",
        /// Complete, but without content.
        Empty = "empty",
        /// It ends at the length limit.
        UsedUpLength = "used_up_length",
        /// The server stopped a repeating model.
        Repetition = "repetition",
        /// The server dropped a part of the prompt.
        QuestionCut = "question_cut",
        /// Complete.
        Whole = "whole",
    }
}

/// Facts about the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ExchangeFacts {
    /// Judgement.
    pub verdict: ExchangeVerdict,
    /// Number of text characters delivered.
    pub delivered_text: u64,
    /// Number of thinking characters delivered.
    pub delivered_thinking: u64,
    /// Number of tool calls delivered.
    pub delivered_tool_calls: u32,
    /// Number of thinking characters received.
    pub thinking: u64,
    /// Number of prompt tokens read.
    #[cfg_attr(feature = "serde", serde(default))]
    pub prompt_tokens: Option<u32>,
    /// Number of answer tokens written.
    #[cfg_attr(feature = "serde", serde(default))]
    pub answer_tokens: Option<u32>,
}

/// Ways to finish a cut answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rescue {
    /// Repeats give equal text.
    pub replay: bool,
    /// The model can continue a given text.
    pub prefill: bool,
    /// Restarts are acceptable.
    pub restart: bool,
}

/// An earlier failed attempt of this operation.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PastAttempt {
    /// Index of its model in the chain.
    #[cfg_attr(feature = "serde", serde(default))]
    pub model: Option<u32>,
    /// Index of its host.
    #[cfg_attr(feature = "serde", serde(default))]
    pub host: Option<u32>,
    /// Category of its failure.
    pub category: ErrorCategory,
    /// Name of the matched rule.
    pub rule: String,
    /// Duration of the attempt, seconds.
    pub took: Seconds,
}

/// Cached answer to the same request.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CachedAnswer {
    /// Age of the answer, seconds.
    pub age: Seconds,
    /// Maximum acceptable age, seconds.
    pub max_age: Seconds,
}

/// Substitutes for the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AtHand {
    /// The caller has a fallback.
    pub fallback: bool,
    /// Cached answer.
    #[cfg_attr(feature = "serde", serde(default))]
    pub cached: Option<CachedAnswer>,
    /// A checkpoint exists.
    pub checkpoint: bool,
    /// A simplified workflow is possible.
    pub can_simplify: bool,
}

/// Rarely needed facts.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Circumstances {
    /// Hosts, if several.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hosts: Option<HostChoice>,
    /// Request to a model, if any.
    #[cfg_attr(feature = "serde", serde(default))]
    pub request: Option<RequestFacts>,
    /// Window, if relevant.
    #[cfg_attr(feature = "serde", serde(default))]
    pub window: Option<WindowFacts>,
    /// Judged answer, if any.
    #[cfg_attr(feature = "serde", serde(default))]
    pub exchange: Option<ExchangeFacts>,
    /// Ways to finish a partly delivered answer.
    #[cfg_attr(feature = "serde", serde(default))]
    pub rescue: Option<Rescue>,
    /// Earlier attempts, oldest first.
    #[cfg_attr(feature = "serde", serde(default))]
    pub history: Vec<PastAttempt>,
    /// Further facts.
    #[cfg_attr(feature = "serde", serde(default))]
    pub more: Vec<Fact>,
}

/// Failure, with the facts for a decision.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Incident {
    /// Failure.
    pub failure: Fault,
    /// Number of the attempt with this model, from 0.
    pub attempt: u32,
    /// Seconds since the operation began.
    pub elapsed: Seconds,
    /// Maximum seconds for the operation; `None` for no limit.
    #[cfg_attr(feature = "serde", serde(default))]
    pub deadline: Option<Seconds>,
    /// Whether repeats are harmless.
    pub idempotent: bool,
    /// Number of retries left in the shared budget; `None` without one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub retry_budget: Option<u32>,
    /// Retry settings.
    pub retry: RetryConfig,
    /// Random number in [0, 1).
    pub random: f64,
    /// Time of the failure.
    pub now: Instant,
    /// Breaker, if any.
    #[cfg_attr(feature = "serde", serde(default))]
    pub guard: Option<Guard>,
    /// Models, if several.
    #[cfg_attr(feature = "serde", serde(default))]
    pub models: Option<ModelChoice>,
    /// Substitutes for the answer.
    pub at_hand: AtHand,
    /// Machine resources, if known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub resources: Option<ResourceSnapshot>,
    /// Rarely needed facts.
    #[cfg_attr(feature = "serde", serde(default))]
    pub circumstances: Option<Circumstances>,
}

impl Incident {
    /// Creates a first failure with default retry settings.
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

/// Next step of the host.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Directive {
    /// Repeats the call after this many seconds.
    RetryAfter(Seconds),
    /// Asks again at once after unusable output; counts as a retry.
    AskAgain,
    /// Tries the model at this index.
    SwitchModel(u32),
    /// Repeats the call on the host at this index.
    SwitchHost(u32),
    /// Asks again with a window of this many tokens.
    EnlargeWindow(u32),
    /// Repeats the request on the host at this index, skipping the delivered part.
    Replay(u32),
    /// Continues the delivered text on the host at this index.
    ContinueAnswer(u32),
    /// Restarts the answer on the host at this index.
    RestartAnswer(u32),
    /// Returns the answer and names the missing part.
    Accept,
    /// Tries again with a simplified workflow.
    Simplify,
    /// Serves the cached answer.
    ServeCached,
    /// Runs the caller's fallback.
    UseFallback,
    /// Returns the failure to the caller.
    GiveUp,
}

named_enum! {
    /// Reason for the next step.
    pub enum Reason {
        /// A retry can help.
        Retryable = "retryable",
        /// A retry cannot help.
        NotRetryable = "not_retryable",
        /// Another model could succeed.
        ModelUnsuitable = "model_unsuitable",
        /// Another host could succeed.
        HostUnsuitable = "host_unsuitable",
        /// The prompt exceeds the window.
        WindowTooSmall = "window_too_small",
        /// The output is unusable.
        AnswerUnusable = "answer_unusable",
        /// The answer was cut.
        AnswerCut = "answer_cut",
        /// No attempts are left.
        AttemptsExhausted = "attempts_exhausted",
        /// The shared retry budget is empty.
        BudgetExhausted = "budget_exhausted",
        /// The deadline comes before the next attempt.
        DeadlineExceeded = "deadline_exceeded",
        /// The server's delay exceeds the caller's limit.
        RetryAfterTooLong = "retry_after_too_long",
        /// The breaker is open.
        CircuitOpen = "circuit_open",
        /// Repeating the call could do harm.
        NotIdempotent = "not_idempotent",
        /// The caller disconnected.
        Cancelled = "cancelled",
    }
}

/// Decision of a policy.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Verdict {
    /// Meaning of the failure.
    pub classification: Classification,
    /// Next breaker state, if any.
    pub breaker: Option<Transition>,
    /// Next step of the host.
    pub directive: Directive,
    /// Reason for the next step.
    pub reason: Reason,
    /// Further advice; hosts ignore unknown names.
    #[cfg_attr(feature = "serde", serde(default))]
    pub more: Option<Vec<Fact>>,
}

/// Whether the call never arrived or was refused: repeating it is safe.
fn nothing_was_done(failure: &Fault) -> bool {
    use FaultKind::{BulkheadFull, CircuitOpen, ConnectionRefused, Dns, HttpStatus, Tls, Unreachable};
    match failure.kind {
        ConnectionRefused | Dns | Unreachable | Tls | CircuitOpen | BulkheadFull => true,
        // 408 and 499 come after the server began.
        HttpStatus => matches!(failure.status, Some(400..=407 | 409..=498)),
        _ => false,
    }
}

/// Classifies, moves the breaker, chooses the next step.
pub fn decide(mut incident: Incident) -> Verdict {
    let classification = classify(&incident.failure);
    let breaker = incident.guard.take().map(|guard| {
        let event = if classification.counted { Event::Failure(guard.generation) } else { Event::Ignored(guard.generation) };
        let observation = Observation { event, now: incident.now, successes: guard.successes, took: guard.took };
        breaker::step(&guard.config, guard.state, &observation)
    });
    let open = breaker.as_ref().is_some_and(|transition| transition.state.phase == Phase::Open);
    let again = same_call_again(&incident, &classification, open);
    let rescue = incident.circumstances.as_ref().and_then(|known| known.rescue);
    let elsewhere = || hosts::another(&incident, &classification, again.err(), |_| true);
    let (directive, reason) = match again {
        _ if let Some(rescue) = rescue => rescue::finish(&incident, &classification, rescue, again),
        Err(reason) if window::is_too_small(&incident, &classification) => too_small(&incident, &classification, reason, open),
        // Nothing has to recover, so no delay.
        Ok(_) if is_output(&classification) => (Directive::AskAgain, Reason::Retryable),
        _ if let Some(index) = elsewhere() => (Directive::SwitchHost(index), Reason::HostUnsuitable),
        Ok(delay) => (Directive::RetryAfter(delay), Reason::Retryable),
        Err(reason) => (instead(&incident, &classification, reason), reason),
    };
    Verdict { classification, breaker, directive, reason, more: None }
}

fn too_small(incident: &Incident, classification: &Classification, reason: Reason, open: bool) -> (Directive, Reason) {
    let repeatable = incident.idempotent || nothing_was_done(&incident.failure);
    let larger = if repeatable && !open { window::enlarged(incident) } else { None };
    let reason = if matches!(reason, Reason::ModelUnsuitable | Reason::NotRetryable) { Reason::WindowTooSmall } else { reason };
    (larger.map_or_else(|| instead(incident, classification, reason), Directive::EnlargeWindow), reason)
}

fn is_output(classification: &Classification) -> bool {
    classification.action == SuggestedAction::Resample && !classification.counted
}

fn would_be_the_same(incident: &Incident) -> bool {
    let Some(known) = &incident.circumstances else { return false };
    let fixed = known.request.is_some_and(|request| request.seed_fixed || request.temperature == Some(0.0));
    fixed || known.exchange.is_some_and(|exchange| exchange.verdict == ExchangeVerdict::UsedUpLength)
}

fn same_call_again(incident: &Incident, classification: &Classification, open: bool) -> Result<Seconds, Reason> {
    // Without the host's own window, the call needs less.
    let undone = window::may_be_undone(incident, classification);
    let limit = if undone { u32::MAX } else { classification.retry_limit.unwrap_or(u32::MAX) }.min(incident.retry.max_retries);
    if classification.action == SuggestedAction::Nothing {
        return Err(Reason::Cancelled);
    }
    // An open breaker rejects at once; callers may wait outside.
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
