//! The arguments that a host can send. The built-in policy must answer them sensibly; beyond them nothing may break.
//! Written independently, so that a check lost in the host is not lost here.

use crate::question::{Happening, Question};
use upright::types::*;

/// Ten years, in seconds.
const LONGEST: f64 = 315_360_000.0;
/// Maximum bytes of a breaker's memory.
const LONGEST_MEMORY: usize = 4096;
/// Maximum number of transitions of a restored breaker.
const GENERATIONS: u64 = u64::MAX >> 4;

/// Maximum number of models or entries, and bytes of text, within a decision's time limit.
const LONGEST_LIST: usize = 256;
const LONGEST_TEXTS: usize = 32 << 10;

/// Whether a host can ask this.
pub fn can_be_asked(question: &Question) -> bool {
    match question {
        Question::Recommend { .. } | Question::Initial { .. } => true,
        Question::NextModel { current, chain } => models(current, chain),
        // The classification, with its rule's name, comes from a policy.
        Question::MayServeCached { failure, .. } => failure.rule.len() <= LONGEST_TEXTS,
        Question::Delay { config, random, .. } => retry(config) && share(*random),
        Question::Step { config, state, observation } => breaker(config) && kept(state, observation.now) && span(observation.took),
        Question::Classify { fault: asked } => fault(asked),
        Question::Simplify { workflow } => {
            let text = |entry: &WorkflowEntry| entry.key.len() + if let WorkflowValue::Text(text) = &entry.value { text.len() } else { 0 };
            let fit = workflow.len() <= LONGEST_LIST && workflow.iter().map(text).sum::<usize>() <= LONGEST_TEXTS;
            fit && workflow.iter().all(|entry| !matches!(entry.value, WorkflowValue::Number(number) if !number.is_finite()))
        }
        Question::Judge { snapshot: read, thresholds } => {
            snapshot(read) && [thresholds.memory_percent, thresholds.disk_percent, thresholds.cpu_percent].into_iter().all(span)
        }
        Question::Decide { incident: asked } => incident(asked),
        Question::Breaker { config, happenings } => {
            breaker(config)
                && happenings.iter().all(
                    |happening| !matches!(happening, Happening::Passes(seconds) | Happening::SucceedsAfter(seconds) if !span(*seconds)),
                )
        }
    }
}

fn models(current: &str, chain: &[String]) -> bool {
    chain.len() <= LONGEST_LIST && current.len() + chain.iter().map(String::len).sum::<usize>() <= LONGEST_TEXTS
}

fn span(seconds: f64) -> bool {
    seconds.is_finite() && seconds >= 0.0
}

fn share(random: f64) -> bool {
    (0.0..1.0).contains(&random)
}

/// Whether retry settings are valid.
pub fn retry(config: &RetryConfig) -> bool {
    let JitterRange { low, high } = config.jitter_range;
    [config.base_delay, config.max_delay].iter().all(|seconds| (0.0..=LONGEST).contains(seconds))
        && (1.0..=1e6).contains(&config.backoff_factor)
        && 0.0 <= low
        && low <= high
        && high <= 1e6
}

/// Whether breaker settings are valid.
pub fn breaker(config: &BreakerConfig) -> bool {
    let counts = [config.failure_threshold, config.success_threshold, config.half_open_permits, config.minimum_calls];
    counts.iter().all(|count| *count > 0)
        && config.recovery_timeout > 0.0
        && config.recovery_timeout <= LONGEST
        && config.failure_window > 0.0
        && config.failure_rate_threshold > 0.0
        && config.slow_call_duration.is_none_or(|duration| duration > 0.0 && duration <= LONGEST)
        && config.slow_call_rate_threshold > 0.0
}

fn kept(state: &BreakerState, now: u64) -> bool {
    state.since <= now && state.generation <= GENERATIONS && state.memory.len() <= LONGEST_MEMORY
}

fn fault(fault: &Fault) -> bool {
    fault.retry_after.is_none_or(span)
}

fn snapshot(read: &ResourceSnapshot) -> bool {
    read.cpu_percent.is_none_or(|percent| (0.0..=100.0).contains(&percent))
}

fn incident(asked: &Incident) -> bool {
    fault(&asked.failure)
        && span(asked.elapsed)
        && asked.deadline.is_none_or(span)
        && retry(&asked.retry)
        && share(asked.random)
        && asked.guard.as_ref().is_none_or(|guard| breaker(&guard.config) && kept(&guard.state, asked.now) && span(guard.took))
        && asked.at_hand.cached.is_none_or(|cached| span(cached.age) && span(cached.max_age))
        && asked.models.as_ref().is_none_or(|choice| models(&choice.current, &choice.chain))
        && asked.resources.as_ref().is_none_or(snapshot)
}
