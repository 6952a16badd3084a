//! Checks answers by the contract's text. Written from `wit/`, not from the host's source, to find nonsense that the
//! host accepts.

use crate::question::{Answer, Left, Question};
use crate::reach;
use upright::types::*;

/// The sensible answer, if the given one makes no sense.
pub type Sense = Result<(), &'static str>;

const DAY: f64 = 86_400.0;

fn expect(holds: bool, expected: &'static str) -> Sense {
    if holds { Ok(()) } else { Err(expected) }
}

/// Checks an answer to a question [that a host can ask](reach::can_be_asked).
pub fn of(question: &Question, answer: &Answer) -> Sense {
    match (question, answer) {
        (Question::Recommend { .. }, Answer::Recommendation(answer)) => recommendation(answer),
        (Question::Delay { config, .. }, Answer::Delay(answer)) => {
            // Rounded to nanoseconds.
            expect(answer.as_secs_f64() <= longest(config) * (1.0 + f64::EPSILON) + 1e-9, "a delay within the cap")
        }
        (Question::Initial { .. }, Answer::Breaker(Ok((left, state)))) => {
            expect(left.phase == Phase::Closed && state.generation == 0, "a breaker that is closed").and_then(|()| memory(state))
        }
        (Question::Step { state: before, .. }, Answer::Breaker(Ok((left, state)))) => {
            let steps = left.generation.wrapping_sub(before.generation);
            expect(steps <= 4, "a generation that counts the steps")?;
            expect(steps > 0 || left.phase == before.phase, "the same phase in the same generation")?;
            memory(state)
        }
        (Question::Classify { .. }, Answer::Classification(answer)) => classification(answer),
        (Question::NextModel { chain, .. }, Answer::NextModel(answer)) => model(*answer, chain),
        (Question::Simplify { workflow }, Answer::Edits(edits)) => {
            let fits = |edit: &WorkflowEdit| {
                (edit.entry as usize) < workflow.len() && !matches!(edit.change, WorkflowChange::Set(number) if !number.is_finite())
            };
            expect(edits.len() <= workflow.len() && edits.iter().all(fits), "edits of entries that are there, with finite numbers")
        }
        (Question::MayServeCached { .. }, Answer::MayServe(_)) => Ok(()),
        (Question::Judge { .. }, Answer::Judgement(judgement)) => {
            let finite = judgement.findings.iter().all(|finding| finding.percent.is_finite());
            expect(finite && judgement.findings.len() <= 3, "a finding for each resource, with finite numbers")
        }
        (Question::Decide { incident }, Answer::Verdict(verdict)) => decision(verdict, incident),
        (Question::Breaker { .. }, Answer::Walk(Ok(walk))) => walked(walk),
        _ => Err("an answer of the question's type, since the settings can be used"),
    }
}

fn named(text: &str) -> bool {
    (1..=64).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Checks a policy's description.
pub fn description(answer: &Description) -> Sense {
    expect(named(&answer.name) && named(&answer.version), "a name and a version of 1 to 64 printable bytes")
}

fn recommendation(answer: &Recommendation) -> Sense {
    let spans = [answer.attempt_timeout, answer.total_deadline];
    let fit = spans.iter().flatten().all(|span| *span > 0.0 && span.is_finite());
    expect(fit && reach::retry(&answer.retry) && reach::breaker(&answer.breaker), "settings that can be used")
}

fn classification(answer: &Classification) -> Sense {
    expect(named(&answer.rule), "a rule's name of 1 to 64 printable bytes")
}

fn model(answer: Option<usize>, chain: &[String]) -> Sense {
    expect(answer.is_none_or(|index| index < chain.len()), "an index into the chain")
}

fn memory(state: &BreakerState) -> Sense {
    expect(state.memory.len() <= 4096, "at most 4 KiB of memory")
}

fn longest(config: &RetryConfig) -> f64 {
    let over = if config.jitter && config.jitter_may_exceed_max { config.jitter_range.high.max(1.0) } else { 1.0 };
    config.max_delay * over
}

fn decision(answer: &Verdict, incident: &Incident) -> Sense {
    classification(&answer.classification)?;
    match (&answer.breaker, &incident.guard) {
        (None, None) => {}
        (Some(after), Some(guard)) => transition(after, guard, incident.now)?,
        _ => return Err("a breaker's next state exactly where there is a breaker"),
    }
    let (alternatives, circumstances) = (&incident.at_hand, incident.circumstances.clone().unwrap_or_default());
    match answer.directive {
        Directive::RetryAfter(wait) => {
            let asked = incident.failure.retry_after.filter(|asked| *asked <= incident.retry.max_delay);
            let asked = asked.map_or(0.0, |asked| asked + (asked / 4.0).max(0.05));
            expect(wait >= 0.0 && wait.is_finite() && wait <= longest(&incident.retry).max(asked), "a delay within the cap")?;
            retry_left(incident)?;
            expect(incident.deadline.is_none_or(|deadline| incident.elapsed + wait < deadline), "a retry before the deadline")
        }
        Directive::AskAgain => retry_left(incident),
        Directive::SwitchHost(index) => host(index, incident),
        Directive::EnlargeWindow(tokens) => {
            let larger = |window: &WindowFacts| {
                let limits = [window.model_limit, window.caller_limit];
                let before = [window.asked, window.loaded];
                !window.fixed
                    && before.into_iter().flatten().all(|before| tokens > before)
                    && limits.into_iter().flatten().all(|limit| tokens <= limit)
            };
            expect(circumstances.window.as_ref().is_some_and(larger), "a larger window within its limits")
        }
        Directive::Replay(index) | Directive::ContinueAnswer(index) | Directive::RestartAnswer(index) => {
            expect(circumstances.rescue.is_some(), "a rescue where one is possible")?;
            if circumstances.hosts.is_none() { expect(index == 0, "the only host") } else { host(index, incident) }
        }
        Directive::Accept => expect(circumstances.exchange.is_some(), "an answer that can be accepted"),
        Directive::SwitchModel(index) => model(Some(index as usize), incident.models.as_ref().map_or(&[][..], |models| &models.chain)),
        Directive::Simplify => expect(alternatives.can_simplify, "an alternative that the incident offers"),
        Directive::ServeCached => expect(alternatives.cached.is_some(), "an alternative that the incident offers"),
        Directive::UseFallback => expect(alternatives.fallback, "an alternative that the incident offers"),
        Directive::GiveUp => Ok(()),
    }
}

fn retry_left(incident: &Incident) -> Sense {
    expect(incident.attempt < incident.retry.max_retries && incident.retry_budget != Some(0), "no retry where none is left")
}

fn host(index: u32, incident: &Incident) -> Sense {
    let hosts = incident.circumstances.as_ref().and_then(|known| known.hosts.as_ref()).map_or(0, |choice| choice.hosts.len());
    expect((index as usize) < hosts, "an index into the hosts")
}

fn transition(after: &Transition, guard: &Guard, now: u64) -> Sense {
    use Phase::{Closed, HalfOpen, Open};
    let (from, to) = (guard.state.phase, after.state.phase);
    let latest = now as f64 + (guard.config.recovery_timeout + DAY) * 1e9;
    let admitted = match (to, after.admission) {
        (Closed, Admission::All) => true,
        (Open, Admission::NoneUntil(until)) => until as f64 <= latest * (1.0 + 1e-12),
        (HalfOpen, Admission::Probes(permits)) => permits > 0,
        _ => false,
    };
    expect(admitted, "an admission that fits the phase")?;
    let known = from == to || matches!((from, to), (Closed, Open) | (Open, HalfOpen) | (HalfOpen, Closed | Open));
    expect(known, "a step that a breaker can take")?;
    let steps = after.state.generation.wrapping_sub(guard.state.generation);
    expect(steps == u64::from(from != to), "a generation that counts the steps")?;
    memory(&after.state)
}

fn walked(walk: &[Left]) -> Sense {
    let fits = |pair: &[Left]| {
        let (before, after) = (&pair[0], &pair[1]);
        let steps = after.generation.wrapping_sub(before.generation);
        steps <= 2 && (steps > 0 || before.phase == after.phase)
    };
    expect(walk.windows(2).all(fits), "generations that count the steps")
}
