//! Rejects answers that the question does not allow.
//!
//! Policies may be untrusted, and answers move real calls. A rejected answer fails the policy, like a trap.

use super::decider::PolicyFailure;
use crate::breaker::MEMORY_LIMIT;
use crate::types::*;

/// Maximum bytes of a name or rule. People and logs see it: no control characters.
const NAME_LIMIT: usize = 64;
/// Maximum nanoseconds open beyond `recovery_timeout` (a day).
const OPEN_LIMIT: u64 = 86_400_000_000_000;

type Checked = Result<(), PolicyFailure>;

fn unless(holds: bool, function: &'static str, answer: impl FnOnce() -> String, expected: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(PolicyFailure::Nonsense { function, answer: answer(), expected }) }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_LIMIT && !has_control(text)
}

fn has_control(text: &str) -> bool {
    if text.is_ascii() { text.bytes().any(|byte| byte.is_ascii_control()) } else { text.contains(char::is_control) }
}

fn odd(names: &[&str]) -> &'static str {
    if names.iter().any(|name| has_control(name)) { " with control characters" } else { "" }
}

pub(crate) fn description(answer: &Description) -> Checked {
    unless(
        is_name(&answer.name) && is_name(&answer.version),
        "metadata.describe",
        || {
            let (name, version) = (answer.name.len(), answer.version.len());
            format!("a name of {name} and a version of {version} bytes{}", odd(&[&answer.name, &answer.version]))
        },
        "both of 1 to 64 bytes, without control characters",
    )
}

pub(crate) fn recommendation(answer: &Recommendation) -> Checked {
    let sound = crate::configuration::retry(&answer.retry).and_then(|()| crate::configuration::breaker(&answer.breaker));
    let spans = [answer.attempt_timeout, answer.total_deadline];
    let spans_fit = spans.iter().flatten().all(|span| *span > 0.0 && span.is_finite());
    unless(
        sound.is_ok() && spans_fit,
        "settings.recommend",
        || sound.as_ref().map_or_else(ToString::to_string, |()| format!("time limits of {spans:?} s")),
        "settings that can be used",
    )
}

fn longest_delay(config: &RetryConfig) -> Seconds {
    let jitter = if config.jitter && config.jitter_may_exceed_max { config.jitter_range.high.max(1.0) } else { 1.0 };
    config.max_delay * jitter
}

pub(crate) fn delay(answer: Seconds, config: &RetryConfig, function: &'static str) -> Checked {
    let fits = answer.is_finite() && answer >= 0.0 && answer <= longest_delay(config);
    unless(fits, function, || format!("a delay of {answer} s"), "a delay from 0 to max_delay")
}

pub(crate) fn transition(
    answer: &Transition,
    before: Option<&BreakerState>,
    config: &BreakerConfig,
    now: u64,
    function: &'static str,
) -> Checked {
    let longest = now.saturating_add(crate::clock::nanoseconds(crate::clock::seconds(config.recovery_timeout))).saturating_add(OPEN_LIMIT);
    let admission_fits = match (answer.state.phase, answer.admission) {
        (Phase::Closed, Admission::All) => true,
        (Phase::Open, Admission::NoneUntil(until)) => until <= longest,
        (Phase::HalfOpen, Admission::Probes(permits)) => permits > 0,
        _ => false,
    };
    unless(
        admission_fits,
        function,
        || format!("{:?} while {}", answer.admission, answer.state.phase),
        "all while closed, none until an instant within a day while open, probes while half-open",
    )?;
    unless(
        answer.state.memory.len() <= MEMORY_LIMIT,
        function,
        || format!("{} bytes of memory", answer.state.memory.len()),
        "at most 4 KiB",
    )?;
    let Some(before) = before else {
        // Resets start here too; the gate counts generations in fewer bits than a policy could fill.
        return unless(
            answer.state.phase == Phase::Closed && answer.state.generation == 0,
            function,
            || format!("a breaker that is {} in generation {}", answer.state.phase, answer.state.generation),
            "one that is closed in generation 0: it has seen nothing",
        );
    };
    let moved = before.phase != answer.state.phase;
    let next = before.generation.wrapping_add(u64::from(moved));
    unless(
        answer.state.generation == next,
        function,
        || format!("generation {} after {}", answer.state.generation, before.generation),
        "the same generation in the same phase, the next in another",
    )?;
    let known = matches!(
        (before.phase, answer.state.phase),
        (Phase::Closed, Phase::Open) | (Phase::Open, Phase::HalfOpen) | (Phase::HalfOpen, Phase::Closed | Phase::Open)
    );
    unless(
        !moved || known,
        function,
        || format!("a step from {} to {}", before.phase, answer.state.phase),
        "closed to open, open to half-open, half-open to closed or open",
    )
}

pub(crate) fn classification(answer: &Classification, function: &'static str) -> Checked {
    unless(
        is_name(&answer.rule),
        function,
        || format!("a rule's name of {} bytes{}", answer.rule.len(), odd(&[&answer.rule])),
        "1 to 64 bytes, without control characters",
    )
}

pub(crate) fn next_model(answer: Option<u32>, chain: usize, function: &'static str) -> Checked {
    let fits = answer.is_none_or(|index| (index as usize) < chain);
    unless(fits, function, || format!("model {} of a chain of {chain}", answer.unwrap_or_default()), "an index into the chain")
}

pub(crate) fn edits(answer: &[WorkflowEdit], entries: usize) -> Checked {
    let fits =
        |edit: &WorkflowEdit| (edit.entry as usize) < entries && !matches!(edit.change, WorkflowChange::Set(number) if !number.is_finite());
    unless(
        answer.len() <= entries && answer.iter().all(fits),
        "degradation.simplify-workflow",
        || format!("{} edits of {entries} entries", answer.len()),
        "edits of entries that are there, with finite numbers",
    )
}

pub(crate) fn judgement(answer: &Judgement) -> Checked {
    let fits = answer.findings.len() <= ResourceName::ALL.len() && answer.findings.iter().all(|finding| finding.percent.is_finite());
    unless(fits, "health.judge", || format!("{:?}", answer.findings.len()), "at most one finding for each resource, with finite numbers")
}

/// The server's wait within `max_delay`, plus the random extra.
fn as_asked(incident: &Incident) -> Seconds {
    let asked = incident.failure.retry_after.filter(|asked| *asked <= incident.retry.max_delay);
    asked.map_or(0.0, |asked| asked + upright_logic::backoff::longest_extra(asked))
}

fn retry_left(incident: &Incident, function: &'static str) -> Checked {
    unless(
        incident.attempt < incident.retry.max_retries && incident.retry_budget != Some(0),
        function,
        || format!("a retry after attempt {}", incident.attempt),
        "at most max_retries retries, within the budget",
    )
}

fn known<R>(incident: &Incident, of: impl FnOnce(&Circumstances) -> Option<&R>) -> Option<&R> {
    incident.circumstances.as_ref().and_then(of)
}

fn host(incident: &Incident, index: u32, function: &'static str) -> Checked {
    let hosts = known(incident, |known| known.hosts.as_ref()).map_or(0, |choice| choice.hosts.len());
    unless((index as usize) < hosts, function, || format!("host {index} of {hosts}"), "an index into the hosts")
}

/// A window must grow, within the model's and caller's limits.
fn window(incident: &Incident, tokens: u32, function: &'static str) -> Checked {
    let fits = known(incident, |known| known.window.as_ref()).is_some_and(|window| {
        let before = window.asked.into_iter().chain(window.loaded).max().unwrap_or(0);
        let limits = [window.model_limit, window.caller_limit];
        !window.fixed && tokens > before && limits.into_iter().flatten().all(|limit| tokens <= limit)
    });
    unless(fits, function, || format!("a window of {tokens} tokens"), "one that is larger, within the model's and the caller's limits")
}

/// Must be possible by the incident, on an existing host; without a choice, host 0.
fn rescue(incident: &Incident, index: u32, possible: impl Fn(&Rescue) -> bool, function: &'static str) -> Checked {
    if known(incident, |known| known.hosts.as_ref()).is_some() || index > 0 {
        host(incident, index, function)?;
    }
    unless(
        known(incident, |known| known.rescue.as_ref()).is_some_and(possible),
        function,
        || "to finish an answer".into(),
        "a way that the incident says is possible",
    )
}

pub(crate) fn verdict(answer: &Verdict, incident: &Incident) -> Checked {
    let function = "recovery.decide";
    classification(&answer.classification, function)?;
    match (&answer.breaker, &incident.guard) {
        (Some(after), Some(guard)) => transition(after, Some(&guard.state), &guard.config, incident.now, function)?,
        (None, None) => {}
        (some, _) => {
            let said = if some.is_some() { "a breaker's state" } else { "no breaker's state" };
            unless(false, function, || said.to_owned(), "the breaker's next state where there is one, else none")?;
        }
    }
    match answer.directive {
        Directive::RetryAfter(wait) => {
            let longest = longest_delay(&incident.retry).max(as_asked(incident));
            let fits = wait.is_finite() && wait >= 0.0 && wait <= longest;
            unless(fits, function, || format!("a delay of {wait} s"), "a delay from 0 to max_delay, or what Retry-After asks for")?;
            retry_left(incident, function)?;
            let late = incident.deadline.is_some_and(|deadline| incident.elapsed + wait >= deadline);
            unless(!late, function, || format!("a retry {wait} s after {} s", incident.elapsed), "retries before the deadline")
        }
        Directive::AskAgain => retry_left(incident, function),
        Directive::SwitchHost(index) => host(incident, index, function),
        Directive::EnlargeWindow(tokens) => window(incident, tokens, function),
        Directive::Replay(index) => rescue(incident, index, |rescue| rescue.replay, function),
        Directive::ContinueAnswer(index) => rescue(incident, index, |rescue| rescue.prefill, function),
        Directive::RestartAnswer(index) => rescue(incident, index, |rescue| rescue.restart, function),
        Directive::Accept => {
            let judged = known(incident, |known| known.exchange.as_ref()).is_some();
            unless(judged, function, || "to accept".into(), "an answer that can be accepted")
        }
        Directive::SwitchModel(index) => {
            let chain = incident.models.as_ref().map_or(0, |models| models.chain.len());
            next_model(Some(index), chain, function)
        }
        Directive::Simplify => {
            unless(incident.at_hand.can_simplify, function, || "to simplify".into(), "an alternative that the incident offers")
        }
        Directive::ServeCached => unless(
            incident.at_hand.cached.is_some(),
            function,
            || "to serve from the cache".into(),
            "an alternative that the incident offers",
        ),
        Directive::UseFallback => {
            unless(incident.at_hand.fallback, function, || "to use the fallback".into(), "an alternative that the incident offers")
        }
        Directive::GiveUp => Ok(()),
    }
}
