use super::*;
use crate::error::ConfigurationError;
use crate::fault::fault_of;
use crate::testing::{DrivenClock, Script};
use crate::types::{ErrorCategory, Fault, FaultKind};
use crate::{CircuitBreaker, RetryStrategy};
use futures_util::FutureExt;
use std::io;
use std::pin::pin;
use std::time::Duration;

const LATE: Duration = Duration::from_millis(300);

fn mixed() -> ChaosBuilder<io::Error> {
    Chaos::builder().seed(42).fail_with(0.1, transient()).delay(0.2, LATE).hang(0.01).clock(DrivenClock::new().shared())
}

fn names<E>(chaos: &Chaos<E>, calls: impl Iterator<Item = u64>) -> Vec<&'static str> {
    calls.map(|call| chaos.injection(call).name()).collect()
}

fn made(chaos: &Chaos<io::Error>) -> Option<bool> {
    chaos.call(|| async { Ok(()) }).now_or_never().map(|result| result.is_ok())
}

#[test]
fn the_numbers_are_those_of_the_published_generator() {
    // The first outputs of SplitMix64 for seed 1234567.
    let published = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
    for (call, bits) in (1..).zip(published) {
        assert_eq!(number_of(1_234_567, call), (bits >> 11) as f64 / 9_007_199_254_740_992.0);
    }
    let extremes = [0, 1, u64::MAX].map(|call| number_of(u64::MAX, call));
    assert!(extremes.iter().all(|number| (0.0..1.0).contains(number)), "{extremes:?}");
}

#[test]
fn a_seed_always_gives_the_same_sequence_and_another_seed_another() {
    let sequence: String = names(&mixed().build().unwrap(), 1..=30)
        .iter()
        .map(|name| match *name {
            "fail" => 'F',
            "delay" => 'D',
            "hang" => 'H',
            _ => '.',
        })
        .collect();
    assert_eq!(sequence, ".DD.F.D...D....DD.F..F..FD....");
    let other = mixed().seed(43).build().unwrap();
    assert_ne!(names(&mixed().build().unwrap(), 1..=30), names(&other, 1..=30));
}

#[test]
fn each_injection_comes_as_often_as_its_probability_says() {
    let chaos = mixed().build().unwrap();
    for _ in 0..1000 {
        made(&chaos);
    }
    assert_eq!(chaos.counts(), ChaosCounts { calls: 1000, failed: 110, delayed: 209, hung: 12 });
}

#[test]
fn what_happens_to_a_call_does_not_depend_on_the_operation_or_on_who_asked_before() {
    let (one, other) = (mixed().build().unwrap(), mixed().build().unwrap());
    let mut outcomes = Vec::new();
    for call in 1..=200 {
        other.injection(call * 7);
        let succeeds = one.call(|| async { Ok(()) }).now_or_never().map(|result| result.is_ok());
        let fails = other.call(|| async { Err::<(), _>(io::Error::from_raw_os_error(2)) }).now_or_never();
        let injected = fails.map(|result| result.unwrap_err().raw_os_error().is_none());
        assert_eq!(succeeds.map(|succeeds| !succeeds), injected, "call {call}");
        outcomes.push(succeeds);
    }
    assert_eq!(one.counts(), other.counts());
    assert!([None, Some(true), Some(false)].iter().all(|outcome| outcomes.contains(outcome)));
}

#[test]
fn threads_that_call_at_once_get_the_same_injections_among_them() {
    let chaos = mixed().build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    made(&chaos);
                }
            });
        }
    });
    assert_eq!(chaos.counts(), ChaosCounts { calls: 1000, failed: 110, delayed: 209, hung: 12 });
}

#[test]
fn a_chaos_probability_of_one_hits_each_call_and_of_zero_none() {
    let certain = Chaos::<io::Error>::builder().hang(0.0).fail_with(1.0, transient()).build().unwrap();
    assert!(names(&certain, 1..=1000).iter().all(|name| *name == "fail"));
    let tenths = (0..10).fold(Chaos::<io::Error>::builder(), |builder, _| builder.hang(0.1)).build().unwrap();
    assert!(names(&tenths, 1..=1000).iter().all(|name| *name == "hang"));
    let nothing = Chaos::<io::Error>::builder().build().unwrap();
    assert!(names(&nothing, 1..=1000).iter().all(|name| *name == "pass"));
}

#[test]
fn a_plan_comes_before_the_probabilities_and_its_first_entry_before_the_others() {
    let plan = Plan::new()
        .call(2, Injection::Hang)
        .calls(..=3, Injection::Pass)
        .calls(3..5, Injection::fail_with(transient()))
        .calls(8.., Injection::Delay(LATE));
    let chaos = mixed().plan(plan).plan([(1..=5, Injection::Hang)]).build().unwrap();
    let planned = ["pass", "hang", "pass", "fail", "hang", "pass", "delay", "delay"];
    assert_eq!(names(&chaos, 1..=8), planned);
    assert_eq!(names(&chaos, [9, u64::MAX].into_iter()), ["delay", "delay"]);
    // Planned calls do not shift the chance of calls 6 and 7.
    assert_eq!(names(&chaos, 6..=7), names(&mixed().build().unwrap(), 6..=7));
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let setting = |builder: ChaosBuilder<io::Error>| builder.build().err().map(|error: ConfigurationError| error.setting);
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(setting(Chaos::builder().fail_with(bad, transient())), Some("chaos fail"), "{bad}");
        assert_eq!(setting(Chaos::builder().fail(bad, || io::Error::other(""))), Some("chaos fail"), "{bad}");
        assert_eq!(setting(Chaos::builder().delay(bad, LATE)), Some("chaos delay"), "{bad}");
        assert_eq!(setting(Chaos::builder().hang(bad)), Some("chaos hang"), "{bad}");
    }
    assert_eq!(setting(Chaos::builder().hang(0.6).delay(0.5, LATE)), Some("chaos probabilities together"));
    assert_eq!(setting(Chaos::builder().plan([(0..3, Injection::Pass)])), Some("chaos plan"));
    assert_eq!(setting(Chaos::builder().plan([(3..3, Injection::Pass)])), Some("chaos plan"));
    assert_eq!(setting(Chaos::builder().plan([(..0, Injection::Pass)])), Some("chaos plan"));
    assert_eq!(setting(Chaos::builder().plan(Plan::new().call(0, Injection::Pass))), Some("chaos plan"));
    let error = Chaos::<io::Error>::builder().hang(0.5).fail_with(0.75, transient()).build().unwrap_err();
    assert_eq!(error.to_string(), "chaos probabilities together is 1.25: expected at most 1, since a call gets at most one injection");
}

#[test]
fn a_failing_or_hanging_call_does_not_run_the_operation_and_a_delayed_one_runs_it_later() {
    let clock = DrivenClock::new();
    let plan = Plan::new().call(1, Injection::fail(|| io::Error::from_raw_os_error(104))).call(2, Injection::Hang);
    let chaos = Chaos::builder().plan(plan.call(3, Injection::Delay(LATE))).clock(clock.shared()).build().unwrap();
    let script = Script::new([Ok(3), Ok(4)]);
    let call = || chaos.call(|| script.call());
    assert_eq!(call().now_or_never().unwrap().unwrap_err().raw_os_error(), Some(104));
    assert!(call().now_or_never().is_none());
    let mut delayed = pin!(call());
    assert!(delayed.as_mut().now_or_never().is_none());
    assert_eq!(script.calls(), 0);
    clock.advance(LATE);
    assert_eq!(delayed.now_or_never().unwrap().unwrap(), 3);
    assert_eq!(call().now_or_never().unwrap().unwrap(), 4);
    assert_eq!(chaos.counts(), ChaosCounts { calls: 4, failed: 1, delayed: 1, hung: 1 });
}

#[tokio::test]
async fn retries_make_injected_failures_good() {
    let clock = DrivenClock::skipping();
    let chaos = Chaos::builder().plan([(..3, Injection::fail_with(transient()))]).build().unwrap();
    let retry = RetryStrategy::builder().jitter(false).clock(clock.shared()).build().unwrap();
    let script = Script::<_, io::Error>::new([Ok("page")]);
    assert_eq!(retry.execute(|| chaos.call(|| script.call())).await.unwrap(), "page");
    assert_eq!((chaos.counts().failed, script.calls()), (2, 1));
    assert_eq!(clock.waits(), [1, 2].map(Duration::from_secs));
}

#[test]
fn a_hang_is_ended_by_an_attempts_limit_of_time() {
    let clock = DrivenClock::new();
    let chaos = Chaos::<io::Error>::builder().plan([(1..2, Injection::Hang)]).clock(clock.shared()).build().unwrap();
    let limited = RetryStrategy::builder().jitter(false).attempt_timeout(Duration::from_secs(5));
    let retry = limited.clock(clock.shared()).build().unwrap();
    let mut call = pin!(retry.execute(|| chaos.call(|| async { Ok("page") })));
    assert!(call.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_millis(4999));
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!(chaos.counts(), ChaosCounts { calls: 1, hung: 1, ..ChaosCounts::default() });
    clock.advance(Duration::from_millis(1));
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!(clock.waits(), [5, 1].map(Duration::from_secs));
    clock.advance(Duration::from_secs(1));
    assert_eq!(call.now_or_never().unwrap().unwrap(), "page");
}

#[test]
fn disabled_chaos_passes_all_calls_and_does_not_advance_its_sequence() {
    let chaos = Chaos::builder().plan([(1..3, Injection::fail_with(transient()))]).build().unwrap();
    assert_eq!(made(&chaos), Some(false));
    chaos.set_enabled(false);
    assert!(!chaos.clone().is_enabled());
    for _ in 0..10 {
        assert_eq!(made(&chaos), Some(true));
    }
    chaos.set_enabled(true);
    assert_eq!([made(&chaos), made(&chaos)], [Some(false), Some(true)]);
    assert_eq!(chaos.counts(), ChaosCounts { calls: 3, failed: 2, ..ChaosCounts::default() });
}

#[test]
fn an_injected_failure_has_the_facts_that_it_was_given() {
    let missing = Fault { status: Some(404), ..Fault::new(FaultKind::HttpStatus, "model 'qwen3:8b' not found") };
    assert_eq!(fault_of(&InjectedFailure { call: 7, known: missing.clone().into() }), missing);
    let builder = Chaos::<io::Error>::builder().plan(Plan::new().call(2, Injection::fail_with(missing)));
    let chaos = builder.fail_with(1.0, transient()).build().unwrap();
    let meant = [1, 2].map(|_| {
        let error = chaos.call(|| async { Ok(()) }).now_or_never().unwrap().unwrap_err();
        let meaning = upright_logic::classifier::classify(&fault_of(&error));
        (meaning.category, meaning.rule)
    });
    let [transient, permanent] = [ErrorCategory::Transient, ErrorCategory::Permanent];
    assert_eq!(meant, [(transient, "overloaded-status".to_owned()), (permanent, "model-not-found".to_owned())]);
}

#[test]
fn an_injected_failure_can_be_distinguished_from_a_real_one() {
    let chaos = Chaos::<io::Error>::builder().fail_with(1.0, transient()).build().unwrap();
    let error = chaos.call(|| async { Ok(()) }).now_or_never().unwrap().unwrap_err();
    assert_eq!(InjectedFailure::find(&error), Some(&InjectedFailure { call: 1, known: transient().into() }));
    assert_eq!(error.to_string(), "the service is unavailable (injected)");
    assert!(InjectedFailure::find(&io::Error::from_raw_os_error(104)).is_none());
}

#[tokio::test]
async fn an_injected_failure_is_found_inside_an_error_type_and_behind_a_breaker() {
    #[derive(Debug, thiserror::Error)]
    #[error("searching")]
    struct Searching(#[from] InjectedFailure);

    let chaos = Chaos::<Searching>::builder().fail_with(1.0, transient()).build().unwrap();
    let breaker = CircuitBreaker::builder("search").failure_threshold(1).build().unwrap();
    let error = breaker.call(|| chaos.call(|| async { Ok(()) })).await.unwrap_err();
    assert_eq!(InjectedFailure::find(&error).map(|injected| injected.call), Some(1));
    assert!(breaker.try_acquire().is_err());
}

#[test]
fn blocking_calls_fail_and_are_late_in_the_same_way_and_cannot_hang() {
    let clock = DrivenClock::skipping();
    let plan = || Plan::new().call(1, Injection::fail_with(transient())).call(2, Injection::Delay(LATE));
    let chaos = Chaos::<io::Error>::builder().plan(plan()).clock(clock.shared()).build_blocking().unwrap();
    assert!(chaos.call(|| Ok(1)).is_err());
    assert_eq!(chaos.call(|| Ok(2)).unwrap(), 2);
    assert_eq!(clock.waits(), [LATE]);
    assert_eq!(chaos.counts(), ChaosCounts { calls: 2, failed: 1, delayed: 1, hung: 0 });
    for hanging in [Chaos::<io::Error>::builder().hang(0.01), Chaos::builder().plan(plan().call(3, Injection::Hang))] {
        let error = hanging.build_blocking().unwrap_err();
        assert_eq!(error.setting, "chaos hang");
    }
}
