//! Reports progress: lines for people, objects for `--json`.

use super::screen::Screen;
use crate::output::{complain, span};
use serde_json::{Value, json};
use upright::Event;

pub(super) struct Reporter<'a> {
    quiet: bool,
    screen: &'a Screen,
    model: String,
    why: String,
    events: Vec<Value>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(model: &str, quiet: bool, screen: &'a Screen) -> Self {
        // Clears an earlier answer's state.
        screen.take_shown();
        Self { quiet, screen, model: model.to_owned(), why: String::new(), events: Vec::new() }
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(super) fn events(&self) -> &[Value] {
        &self.events
    }

    pub(super) fn take(&mut self, event: &Event) {
        self.events.push(record(event));
        match event {
            Event::AttemptFailed { message, classification, .. } => {
                self.why = if message.is_empty() { classification.rule.clone() } else { message.clone() };
            }
            Event::CallRejected { breaker, .. } => self.why = format!("the circuit breaker {breaker} is open"),
            Event::RetryScheduled { delay, .. } => self.goes_on(format_args!("trying again in {}", span(*delay))),
            Event::ModelSwitched { to, .. } => {
                self.goes_on(format_args!("switching to {to}"));
                self.model.clone_from(to);
            }
            Event::WindowEnlarged { from, to, needed, expected, .. } => {
                let takes = expected.map_or_else(String::new, |takes| format!(", which takes about {}", span(takes)));
                self.say(format_args!("{}{takes}", enlarging(&self.model, *from, *to, *needed)));
            }
            Event::ServedCached { age, .. } => self.goes_on(format_args!("serving the answer of {} ago", span(*age))),
            Event::BreakerMoved { breaker, from, to } => self.say(format_args!("the circuit breaker {breaker} went from {from} to {to}")),
            Event::SafeMode { policy, error } => {
                self.say(format_args!("the policy {policy} failed ({error}); built-in logic decided in its place"));
            }
            Event::PolicyRolledBack { from, to } => self.say(format_args!("the policy {from} failed repeatedly; {to} decides from now on")),
            _ => {}
        }
    }

    fn goes_on(&self, next: std::fmt::Arguments<'_>) {
        if self.screen.take_shown() {
            self.screen.end_line();
            self.say(format_args!("the answer broke off ({}); {next}", self.why));
        } else {
            self.say(format_args!("{} failed ({}); {next}", self.model, self.why));
        }
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        if !self.quiet {
            complain(text);
        }
    }
}

fn enlarging(model: &str, from: Option<u32>, to: u32, needed: Option<u32>) -> String {
    let question = needed.map_or_else(|| "the question".to_owned(), |needed| format!("the question of {needed} tokens"));
    let window = from.map_or_else(|| "the window".to_owned(), |from| format!("the window of {from}"));
    format!("{question} does not fit {window}; loading {model} with a window of {to} and reading the question again")
}

fn record(event: &Event) -> Value {
    match event {
        Event::AttemptFailed { attempt, classification, message, .. } => {
            json!({ "event": "attempt_failed", "attempt": attempt, "message": message, "classification": classification })
        }
        Event::RetryScheduled { attempt, delay, .. } => {
            json!({ "event": "retry_scheduled", "attempt": attempt, "delay_seconds": delay.as_secs_f64() })
        }
        Event::ModelSwitched { from, to, reason, .. } => json!({ "event": "model_switched", "from": from, "to": to, "reason": reason }),
        Event::WindowEnlarged { from, to, needed, .. } => json!({ "event": "window_enlarged", "from": from, "to": to, "needed": needed }),
        Event::WorkflowSimplified { reason, .. } => json!({ "event": "workflow_simplified", "reason": reason }),
        Event::ServedCached { age, .. } => json!({ "event": "served_cached", "age_seconds": age.as_secs_f64() }),
        Event::FallbackUsed { reason, .. } => json!({ "event": "fallback_used", "reason": reason }),
        Event::GaveUp { reason, .. } => json!({ "event": "gave_up", "reason": reason }),
        Event::BreakerMoved { breaker, from, to } => json!({ "event": "breaker_moved", "breaker": **breaker, "from": from, "to": to }),
        Event::CallRejected { breaker, .. } => json!({ "event": "call_rejected", "breaker": **breaker }),
        Event::PolicySwapped { from, to } => json!({ "event": "policy_swapped", "from": from, "to": to }),
        Event::SafeMode { policy, error } => json!({ "event": "safe_mode", "policy": policy, "error": error }),
        Event::PolicyRolledBack { from, to } => json!({ "event": "policy_rolled_back", "from": from, "to": to }),
        other => json!({ "event": "other", "text": format!("{other:?}") }),
    }
}
