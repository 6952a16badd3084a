//! A decision that timed out is asked again on a fresh instance before it counts against the policy. No other decision
//! is.

use crate::subscribe;
use std::cell::Cell;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use upright::events::Events;
use upright::policy::{PolicyError, PolicyLifecycle, PolicyLoader};
use upright::testing::DrivenClock;
use upright::types::*;
use upright::{Event, Policy};
use upright_operations::eval::Evaluator;
use upright_runtime::STRIKES;
use upright_test_kit::patient;
use upright_test_kit::policies::hostile::{GIVES_UP, sensible_but};
use upright_test_kit::policies::{hurried, policy, unprobed};

const ENDLESS: &str = "(loop $again (br $again)) unreachable";

thread_local!(static SECOND_TRIES: Cell<usize> = const { Cell::new(0) });

pub(crate) struct Counting;

impl<S: tracing::Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Message(bool);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 |= field.name() == "message" && format!("{value:?}") == "asked once more";
            }
        }
        let mut message = Message(false);
        event.record(&mut message);
        SECOND_TRIES.set(SECOND_TRIES.get() + usize::from(message.0));
    }
}

fn second_tries<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = SECOND_TRIES.get();
    let done = work();
    (done, SECOND_TRIES.get() - before)
}

/// A function that answers once an instance, then hangs.
fn once(answers: &str) -> String {
    format!(
        "(i32.store (i32.const 220000) (i32.add (i32.load (i32.const 220000)) (i32.const 1)))
         (if (i32.gt_u (i32.load (i32.const 220000)) (i32.const 1)) (then (loop $again (br $again)))) {answers}"
    )
}

fn failure() -> Incident {
    Incident {
        retry: RetryConfig { jitter: false, ..RetryConfig::default() },
        random: 0.5,
        ..Incident::of(Fault::new(FaultKind::ConnectionRefused, "connection refused"))
    }
}

fn slot_with(policy: Policy) -> (PolicyLifecycle, upright::events::Subscription) {
    let events = Events::default();
    let seen = events.subscribe();
    let slot = patient::slot().connected(DrivenClock::new().shared(), events);
    slot.swap(policy, &unprobed()).unwrap();
    (slot, seen)
}

fn safe_modes(seen: &mut upright::events::Subscription) -> usize {
    std::iter::from_fn(|| seen.try_recv()).filter(|event| matches!(event, Event::SafeMode { .. })).count()
}

#[test]
fn a_policy_that_answers_at_the_second_try_has_not_failed() {
    subscribe();
    let decides = once(GIVES_UP);
    let policy = hurried(&policy(&sensible_but("recovery#decide", &decides)));
    let (slot, mut seen) = slot_with(policy.clone());
    for _ in 0..STRIKES * 3 {
        assert_eq!(slot.slot().decide(&failure()).directive, Directive::GiveUp);
    }
    assert_eq!((slot.counts().safe_mode, safe_modes(&mut seen)), (0, 0));
    assert_eq!(slot.description().name, "hostile");
    // The first question succeeded at once, each later one on a fresh instance.
    assert!(policy.crossings() > 2 * (STRIKES as u64 * 3 - 1), "{}", policy.crossings());
}

#[test]
fn a_policy_that_never_answers_is_asked_twice_and_struck_once_for_each_question() {
    subscribe();
    let policy = hurried(&policy(&sensible_but("recovery#decide", ENDLESS)));
    let (slot, mut seen) = slot_with(policy.clone());
    for asked in 1..=STRIKES {
        assert_eq!(slot.slot().decide(&failure()), PolicyLifecycle::native().slot().decide(&failure()));
        assert_eq!((policy.crossings(), safe_modes(&mut seen)), (2 * asked as u64, 1));
    }
    assert_eq!(slot.description().name, "upright-default");
}

#[test]
fn a_decision_that_fails_without_a_timeout_is_not_asked_again() {
    subscribe();
    for (function, body) in [
        ("recovery#decide", "unreachable"),
        ("recovery#decide", "(drop (memory.grow (i32.const 4096))) unreachable"),
        ("recovery#decide", "(call $decide (local.get 0))"),
        ("backoff#delay", "(f64.const nan)"),
    ] {
        let policy = patient::policy(&policy(&sensible_but(function, body)));
        let (slot, mut seen) = slot_with(policy.clone());
        let ((), tries) = second_tries(|| match function {
            "backoff#delay" => drop(slot.slot().delay(&failure().retry, 0, 0.5)),
            _ => drop(slot.slot().decide(&failure())),
        });
        assert_eq!((policy.crossings(), tries, safe_modes(&mut seen)), (1, 0, 1), "{body}");
    }
}

#[test]
fn a_start_a_description_and_a_probe_that_take_too_long_have_a_second_try_as_well() {
    subscribe();
    for (function, body) in [("start", "(loop $again (br $again))"), ("metadata#describe", ENDLESS), ("health#judge", ENDLESS)] {
        let bytes = policy(&sensible_but(function, body));
        let (loaded, tries) = second_tries(|| PolicyLoader::default().from_bytes(&bytes));
        assert!(matches!(loaded, Err(PolicyError::TimedOut { .. })), "{function}: {loaded:?}");
        assert!(tries >= 1, "{function}: {tries}");
    }
}

#[test]
fn an_evaluator_asks_once_more_too() {
    subscribe();
    let delays = once("(f64.const 1)");
    let mut evaluator = Evaluator::new(hurried(&policy(&sensible_but("backoff#delay", &delays))));
    let config = serde_json::to_value(RetryConfig::default()).unwrap();
    let arguments = serde_json::json!({ "config": config, "attempt": 0, "random": 0.5 });
    for _ in 0..3 {
        assert_eq!(evaluator.eval("backoff.delay", &arguments).unwrap(), 1.0);
    }
    let mut evaluator = Evaluator::new(hurried(&policy(&sensible_but("backoff#delay", ENDLESS))));
    let (answer, tries) = second_tries(|| evaluator.eval("backoff.delay", &arguments));
    assert!(answer.unwrap_err().to_string().contains("longer than 5 ms"));
    assert_eq!(tries, 1);
}
