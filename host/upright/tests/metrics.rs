//! Feature `metrics`: each instrument in the table of `upright::metrics` counts as described.
//!
//! A binary of its own, because it is built only with that feature.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use metrics::{Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use upright::testing::{DrivenClock, Outcome, Script};
use upright::{Bulkhead, CircuitBreaker, Hedge, RecoveryManager, RetryStrategy};
use upright_test_kit::driven::{Driven, seconds};
use upright_test_kit::patient;
use upright_test_kit::policies;
use upright_test_kit::refused;

#[derive(Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

struct Instrument {
    name: String,
    counted: Counted,
}

impl Instrument {
    fn note(&self, number: f64) {
        self.counted.0.lock().unwrap().entry(self.name.clone()).or_default().push(number);
    }
}

impl CounterFn for Instrument {
    fn increment(&self, by: u64) {
        self.note(by as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("nothing here counts by itself");
    }
}

impl HistogramFn for Instrument {
    fn record(&self, value: f64) {
        self.note(value);
    }
}

impl Counted {
    fn instrument(&self, key: &Key) -> Arc<Instrument> {
        let mut labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        labels.sort();
        Arc::new(Instrument { name: format!("{}{{{}}}", key.name(), labels.join(",")), counted: self.clone() })
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.instrument(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("{key} is a gauge, and the table has none");
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.instrument(key))
    }
}

fn counted(scenario: impl FnOnce(&DrivenClock)) -> BTreeMap<String, Vec<f64>> {
    let counted = Counted::default();
    metrics::with_local_recorder(&counted, || scenario(&DrivenClock::new()));
    let seen = counted.0.lock().unwrap();
    seen.clone()
}

fn assert_counted(scenario: impl FnOnce(&DrivenClock), expected: &[(&str, &[f64])]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(name, values)| (format!("upright_{name}"), values.to_vec())).collect();
    assert_eq!(counted(scenario), expected);
}

fn manager(clock: &DrivenClock) -> RecoveryManager {
    RecoveryManager::builder().clock(clock.shared()).build().unwrap()
}

fn strategy(clock: &DrivenClock) -> upright::retry::RetryStrategyBuilder {
    RetryStrategy::builder().name("fetch").jitter(false).use_circuit_breaker(false).clock(clock.shared())
}

#[test]
fn a_success_is_an_operation_with_its_duration_and_its_attempts() {
    let scenario = |clock: &DrivenClock| {
        let strategy = strategy(clock).build().unwrap();
        let fetch = Script::new([Outcome::Ok(1).after(seconds(3), clock.shared()), Outcome::<_, io::Error>::Ok(2)]);
        assert_eq!(Driven::begun(strategy.execute(|| fetch.call())).ended_after(seconds(3), clock).unwrap(), 1);
        assert_eq!(strategy.execute_blocking(|| fetch.call_blocking()).unwrap(), 2);
    };
    let expected: &[(&str, &[f64])] = &[
        ("operations_total{operation=fetch,outcome=live}", &[1.0, 1.0]),
        ("operation_duration_seconds{operation=fetch,outcome=live}", &[3.0, 0.0]),
        ("operation_attempts{operation=fetch,outcome=live}", &[1.0, 1.0]),
    ];
    assert_counted(scenario, expected);
}

#[test]
fn failed_attempts_retries_and_their_delays_are_counted() {
    let scenario = |clock: &DrivenClock| {
        let strategy = strategy(clock).max_retries(2).build().unwrap();
        let mut call = Driven::begun(strategy.execute(|| async { Err::<(), _>(refused()) }));
        assert!(call.after(seconds(1), clock).is_none());
        call.ended_after(seconds(2), clock).unwrap_err();
    };
    let expected: &[(&str, &[f64])] = &[
        ("operations_total{operation=fetch,outcome=failed}", &[1.0]),
        ("operation_duration_seconds{operation=fetch,outcome=failed}", &[3.0]),
        ("operation_attempts{operation=fetch,outcome=failed}", &[3.0]),
        ("failed_attempts_total{category=connection,operation=fetch}", &[1.0; 3]),
        ("retries_total{operation=fetch}", &[1.0; 2]),
        ("retry_delay_seconds{operation=fetch}", &[1.0, 2.0]),
    ];
    assert_counted(scenario, expected);
}

#[test]
fn a_cached_answer_and_a_fallback_are_outcomes_of_their_own() {
    let outcomes = |clock: &DrivenClock| {
        let manager = manager(clock);
        let chat =
            |name: &str| manager.operation(name).attempts(1).cache("key").fresh_for(std::time::Duration::ZERO).stale_for(seconds(3600));
        let failing = || async { Err::<u32, _>(refused()) };
        Driven::new(chat("a").run(|_| async { Ok::<_, io::Error>(1) })).poll().unwrap().unwrap();
        clock.advance(seconds(1));
        Driven::new(chat("b").run(|_| failing())).poll().unwrap().unwrap();
        let fresh = manager.operation("d").cache("key").fresh_for(seconds(60)).stale_for(seconds(3600));
        Driven::new(fresh.run(|_| failing())).poll().unwrap().unwrap();
        let other = manager.operation("c").attempts(1).fallback(|| async { Ok::<_, io::Error>(2) });
        Driven::new(other.run(|_| failing())).poll().unwrap().unwrap();
    };
    let seen = counted(outcomes);
    for (operation, outcome) in [("a", "live"), ("b", "cached"), ("d", "cached"), ("c", "fallback")] {
        assert_eq!(seen[&format!("upright_operations_total{{operation={operation},outcome={outcome}}}")], [1.0]);
    }
}

#[test]
fn a_switch_of_models_is_counted_with_both() {
    let scenario = |clock: &DrivenClock| {
        let manager = manager(clock);
        let ask = Script::new([Err(io::Error::other("model 'a' not found")), Ok(1)]);
        Driven::new(manager.operation("chat").models(["a", "b"]).attempts(1).run(|_| ask.call())).poll().unwrap().unwrap();
    };
    assert_eq!(counted(scenario)["upright_model_switches_total{from=a,operation=chat,to=b}"], [1.0]);
}

#[test]
fn hedge_attempts_are_counted() {
    let scenario = |clock: &DrivenClock| {
        let hedge = Hedge::builder("h").delay(seconds(2)).max_hedges(2).build().unwrap();
        let strategy = strategy(clock).hedge(hedge).build().unwrap();
        let fetch = Script::new([Outcome::Hang, Outcome::Hang, Outcome::<_, io::Error>::Ok(3)]);
        let mut call = Driven::begun(strategy.execute(|| fetch.call()));
        assert!(call.after(seconds(2), clock).is_none());
        call.ended_after(seconds(2), clock).unwrap();
    };
    assert_eq!(counted(scenario)["upright_hedges_total{operation=fetch}"], [1.0; 2]);
}

#[test]
fn rejections_and_a_breakers_moves_are_counted() {
    let scenario = |clock: &DrivenClock| {
        let bulkhead = Bulkhead::builder("ollama").max_concurrent(1).build().unwrap();
        let events = upright::events::Events::default();
        let breaker = CircuitBreaker::builder("ollama").failure_threshold(1).clock(clock.shared()).events(events).build().unwrap();
        let strategy = strategy(clock).max_retries(0).bulkhead(bulkhead.clone()).breaker(breaker).build().unwrap();
        let room = bulkhead.try_acquire().unwrap();
        let call = || Driven::new(strategy.execute(|| async { Err::<(), _>(refused()) })).poll().unwrap().unwrap_err();
        call();
        drop(room);
        call();
        call();
    };
    let expected: &[(&str, &[f64])] = &[
        ("operations_total{operation=fetch,outcome=bulkhead_full}", &[1.0]),
        ("operation_duration_seconds{operation=fetch,outcome=bulkhead_full}", &[0.0]),
        ("operation_attempts{operation=fetch,outcome=bulkhead_full}", &[0.0]),
        ("operations_total{operation=fetch,outcome=failed}", &[1.0]),
        ("operation_duration_seconds{operation=fetch,outcome=failed}", &[0.0]),
        ("operation_attempts{operation=fetch,outcome=failed}", &[1.0]),
        ("operations_total{operation=fetch,outcome=circuit_open}", &[1.0]),
        ("operation_duration_seconds{operation=fetch,outcome=circuit_open}", &[0.0]),
        ("operation_attempts{operation=fetch,outcome=circuit_open}", &[0.0]),
        ("failed_attempts_total{category=connection,operation=fetch}", &[1.0]),
        ("rejected_calls_total{by=bulkhead,operation=fetch}", &[1.0]),
        ("rejected_calls_total{by=circuit_breaker,operation=fetch}", &[1.0]),
        ("circuit_breaker_transitions_total{breaker=ollama,from=closed,to=open}", &[1.0]),
    ];
    assert_counted(scenario, expected);
}

#[test]
fn a_policys_failures_swaps_and_replacements_are_counted() {
    let scenario = |clock: &DrivenClock| {
        let slot = patient::slot().connected(clock.shared(), upright::events::Events::default());
        slot.swap(patient::policy(&policies::policy(&[])), &policies::unprobed()).unwrap();
        for _ in 0..3 {
            slot.slot().delay(&upright::RetryConfig::default(), 0, 0.5);
        }
    };
    let expected: &[(&str, &[f64])] =
        &[("policy_swaps_total{}", &[1.0]), ("policy_failures_total{}", &[1.0; 3]), ("policy_rollbacks_total{}", &[1.0])];
    assert_counted(scenario, expected);
}

#[test]
fn answers_are_counted_by_their_verdict_and_larger_windows_by_their_operation() {
    use upright::ollama::{ChatRequest, OllamaClient};
    use upright_simulator::{FaultServer, Match, Model, Window};
    let counted = Counted::default();
    let _local = metrics::set_default_local_recorder(&counted);
    let scenario = async {
        let server = FaultServer::start().await.unwrap();
        server.set_models([Model::with_window("m", Window::default())]);
        let client = OllamaClient::new(server.url().parse().unwrap()).unwrap();
        server.plan(Match::path("/api/chat"), &["stream-clean-end", "load-reason", "ok"]).unwrap();
        for _ in 0..3 {
            let _ = client.chat(ChatRequest::ask("m", "hi")).await;
        }
        server.plan(Match::path("/api/chat"), &["stream-clean-end", "server-busy", "stream-error-line", "ok"]).unwrap();
        for _ in 0..4 {
            let mut chunks = std::pin::pin!(client.chat_stream(ChatRequest::ask("m", "hi")));
            while futures_util::StreamExt::next(&mut chunks).await.is_some() {}
        }
        let manager = RecoveryManager::builder().build().unwrap();
        let long = ["word"; 6000].join(" ");
        let attempt = |attempt: upright::Attempt| {
            let request = ChatRequest { window: attempt.window, ..ChatRequest::ask("m", long.as_str()) };
            let client = client.clone();
            async move { client.chat(request).await.map(|answer| answer.message.content) }
        };
        manager.operation("chat").model("m").run(attempt).await.unwrap();
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(scenario);
    let seen = counted.0.lock().unwrap();
    for (verdict, times) in [("cut", 2), ("empty", 1), ("failed", 3), ("whole", 3)] {
        assert_eq!(seen[&format!("upright_answers_total{{verdict={verdict}}}")].len(), times, "{verdict}");
    }
    assert_eq!(seen["upright_windows_enlarged_total{operation=chat}"], [1.0]);
}
