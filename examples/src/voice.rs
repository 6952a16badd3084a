//! Narrates recovery.

use std::pin::pin;
use upright::events::Subscription;
use upright::{Event, RecoveryManager};

/// Runs the work and prints the manager's events.
pub async fn narrated<T>(manager: &RecoveryManager, work: impl Future<Output = T>) -> T {
    let mut events = manager.subscribe();
    let mut work = pin!(work);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => tell(&event),
            outcome = &mut work => break outcome,
        }
    };
    tell_rest(&mut events);
    outcome
}

fn tell_rest(events: &mut Subscription) {
    while let Some(event) = events.try_recv() {
        tell(&event);
    }
}

fn tell(event: &Event) {
    if let Some(sentence) = sentence(event) {
        println!("  … {sentence}");
    }
}

/// An event in words; `None` for events that do not concern one's own calls.
pub fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::AttemptFailed { attempt, classification, message, .. } => {
            format!("attempt {attempt} failed ({}): {message}", classification.category)
        }
        Event::RetryScheduled { attempt, delay, .. } => format!("attempt {attempt} follows in {:.3} s", delay.as_secs_f64()),
        Event::ModelSwitched { from, to, reason, .. } => format!("{to} takes the place of {from} ({reason})"),
        Event::WorkflowSimplified { reason, .. } => format!("the workflow is simplified ({reason})"),
        Event::ServedCached { age, .. } => format!("an answer from {:.0} s ago is served", age.as_secs_f64()),
        Event::FallbackUsed { reason, .. } => format!("the fallback is used ({reason})"),
        Event::GaveUp { reason, .. } => format!("given up ({reason})"),
        Event::BreakerMoved { breaker, from, to } => format!("breaker {breaker}: {from} to {to}"),
        Event::CallRejected { breaker, .. } => format!("breaker {breaker} let nothing through"),
        _ => return None,
    })
}
