use super::*;

const SECOND: u64 = 1_000_000_000;

/// Breaker fed with events.
struct Machine {
    config: BreakerConfig,
    now: Instant,
    at: Transition,
}

impl Machine {
    fn new(config: BreakerConfig) -> Self {
        Self { config, now: 0, at: initial(0) }
    }

    fn see(&mut self, event: Event, successes: u64) -> Phase {
        let observation = Observation { event, now: self.now, successes, took: 0.0 };
        self.at = step(&self.config, self.at.state.clone(), &observation);
        self.at.state.phase
    }

    fn fail(&mut self) -> Phase {
        self.see(Event::Failure(self.at.state.generation), 0)
    }

    fn take(&mut self, event: fn(u64) -> Event, took: Seconds, successes: u64) -> Phase {
        let event = event(self.at.state.generation);
        let observation = Observation { event, now: self.now, successes, took };
        self.at = step(&self.config, self.at.state.clone(), &observation);
        self.at.state.phase
    }

    fn impatient() -> Self {
        Self::new(BreakerConfig { slow_call_duration: Some(2.0), slow_call_rate_threshold: 0.5, ..BreakerConfig::default() })
    }

    fn window(&self) -> (u32, u32, u32) {
        let window = Window::read(&self.at.state);
        (window.calls, window.failures, window.slow)
    }

    fn opened() -> Self {
        let mut machine = Self::new(BreakerConfig::default());
        while machine.fail() == Phase::Closed {}
        machine
    }

    fn half_open() -> Self {
        let mut machine = Self::opened();
        machine.now += 60 * SECOND;
        machine.see(Event::Elapsed, 0);
        machine
    }
}

#[test]
fn closed_opens_when_failures_reach_the_threshold() {
    let mut machine = Machine::new(BreakerConfig::default());
    assert_eq!([0; 5].map(|_| machine.fail()), [Phase::Closed, Phase::Closed, Phase::Closed, Phase::Closed, Phase::Open]);
    assert_eq!(machine.at.admission, Admission::NoneUntil(60 * SECOND));
}

#[test]
fn open_becomes_half_open_when_the_timeout_has_passed_and_not_before() {
    let mut machine = Machine::opened();
    machine.now = 60 * SECOND - 1;
    assert_eq!(machine.see(Event::Elapsed, 0), Phase::Open);
    machine.now += 1;
    assert_eq!(machine.see(Event::Elapsed, 0), Phase::HalfOpen);
    assert_eq!(machine.at.admission, Admission::Probes(1));
}

#[test]
fn half_open_closes_when_successes_reach_the_threshold() {
    let mut machine = Machine::half_open();
    let generation = machine.at.state.generation;
    assert_eq!(machine.see(Event::Success(generation), 0), Phase::HalfOpen);
    assert_eq!(machine.see(Event::Success(generation), 0), Phase::Closed);
    assert_eq!(machine.at.admission, Admission::All);
}

#[test]
fn half_open_opens_again_at_any_failure_and_waits_the_whole_timeout() {
    let mut machine = Machine::half_open();
    machine.now += 5 * SECOND;
    assert_eq!(machine.fail(), Phase::Open);
    assert_eq!(machine.at.admission, Admission::NoneUntil(125 * SECOND));
}

#[test]
fn a_success_between_failures_starts_the_row_again() {
    let mut machine = Machine::new(BreakerConfig::default());
    for _ in 0..4 {
        machine.fail();
    }
    assert_eq!(machine.see(Event::Failure(0), 1), Phase::Closed);
    assert_eq!(machine.at.state.consecutive_failures, 1);
}

#[test]
fn a_result_from_before_the_trip_changes_nothing() {
    for event in [Event::Failure(0), Event::Success(0), Event::Ignored(0)] {
        for mut machine in [Machine::opened(), Machine::half_open()] {
            let before = machine.at.clone();
            machine.now += SECOND;
            machine.see(event, 0);
            assert_eq!(machine.at, before, "{event:?}");
        }
    }
}

#[test]
fn thirty_calls_in_flight_that_all_fail_make_one_transition() {
    let mut machine = Machine::new(BreakerConfig::default());
    for _ in 0..30 {
        machine.now += SECOND;
        machine.see(Event::Failure(0), 0);
    }
    assert_eq!(machine.at.state.generation, 1);
    assert_eq!(machine.at.state.since, 5 * SECOND, "later failures do not extend the open window");
}

#[test]
fn failures_ninety_days_apart_never_open_it() {
    let mut machine = Machine::new(BreakerConfig::default());
    for _ in 0..50 {
        machine.now += 90 * 86_400 * SECOND;
        assert_eq!(machine.fail(), Phase::Closed);
    }
}

#[test]
fn four_thousand_failures_in_five_thousand_calls_open_it() {
    let mut machine = Machine::new(BreakerConfig::default());
    let opened = (0..1000).any(|_| {
        machine.now += SECOND / 100;
        (0..4).any(|failure| {
            let successes = u64::from(failure == 0);
            machine.see(Event::Failure(machine.at.state.generation), successes) == Phase::Open
        })
    });
    assert!(opened);
}

#[test]
fn a_failure_at_time_zero_recovers() {
    let mut machine = Machine::new(BreakerConfig { failure_threshold: 1, ..BreakerConfig::default() });
    assert_eq!(machine.fail(), Phase::Open);
    machine.now = 60 * SECOND;
    assert_eq!(machine.see(Event::Elapsed, 0), Phase::HalfOpen);
}

#[test]
fn an_ignored_outcome_moves_nothing() {
    let mut machine = Machine::new(BreakerConfig { failure_threshold: 1, ..BreakerConfig::default() });
    for _ in 0..100 {
        assert_eq!(machine.see(Event::Ignored(0), 0), Phase::Closed);
    }
    let mut probing = Machine::half_open();
    let generation = probing.at.state.generation;
    assert_eq!(probing.see(Event::Ignored(generation), 0), Phase::HalfOpen);
    assert_eq!(probing.at.state.half_open_successes, 0);
}

#[test]
fn a_foreign_or_missing_memory_is_an_empty_window() {
    // 24 bytes is the previous layout.
    for memory in [Vec::new(), alloc::vec![7; 3], alloc::vec![1; 24], alloc::vec![255; 4096]] {
        let mut machine = Machine::new(BreakerConfig::default());
        machine.at.state.memory = memory;
        assert_eq!(machine.fail(), Phase::Closed);
        assert_eq!((machine.at.state.consecutive_failures, machine.window()), (1, (1, 1, 0)));
    }
}

#[test]
fn a_service_that_never_fails_but_is_slow_opens_it_at_the_share_and_not_before() {
    let mut machine = Machine::impatient();
    assert_eq!(machine.take(Event::Success, 2.0, 19), Phase::Closed);
    for slow in 2..19 {
        assert_eq!(machine.take(Event::Success, 2.0, 0), Phase::Closed);
        assert_eq!(machine.window(), (19 + slow, 0, slow));
    }
    // 20 of 40 are half.
    assert_eq!(machine.take(Event::Success, 1.999, 0), Phase::Closed);
    assert_eq!(machine.take(Event::Success, 2.0, 0), Phase::Closed);
    assert_eq!(machine.take(Event::Success, 2.0, 0), Phase::Open);
    assert_eq!(machine.at.admission, Admission::NoneUntil(60 * SECOND));
}

#[test]
fn slow_calls_open_the_breaker_only_after_its_minimum_of_calls() {
    let mut machine = Machine::impatient();
    for _ in 0..19 {
        assert_eq!(machine.take(Event::Success, 3.0, 0), Phase::Closed);
    }
    assert_eq!(machine.take(Event::Success, 3.0, 0), Phase::Open);
}

#[test]
fn a_failure_that_reaches_the_minimum_of_calls_opens_the_breaker_by_its_slow_calls() {
    let mut machine = Machine::impatient();
    for _ in 0..19 {
        machine.take(Event::Success, 3.0, 0);
    }
    assert_eq!(machine.take(Event::Failure, 0.1, 0), Phase::Open);
}

#[test]
fn a_slow_failure_counts_as_both_and_once_among_the_calls() {
    let mut machine = Machine::impatient();
    machine.take(Event::Failure, 2.0, 4);
    assert_eq!((machine.window(), machine.at.state.consecutive_failures), ((5, 1, 1), 1));
    machine.take(Event::Failure, 1.0, 0);
    assert_eq!((machine.window(), machine.at.state.consecutive_failures), ((6, 2, 1), 2));
}

#[test]
fn a_slow_success_starts_the_row_of_failures_again() {
    let mut machine = Machine::impatient();
    for _ in 0..4 {
        machine.fail();
    }
    assert_eq!(machine.take(Event::Success, 9.0, 0), Phase::Closed);
    assert_eq!((machine.at.state.consecutive_failures, machine.window()), (0, (5, 4, 1)));
    assert_eq!(machine.fail(), Phase::Closed);
}

#[test]
fn a_slow_call_that_says_nothing_of_the_service_does_not_count() {
    let mut machine = Machine::impatient();
    machine.take(Event::Ignored, 9.0, 3);
    assert_eq!(machine.window(), (3, 0, 0));
}

#[test]
fn without_a_duration_no_call_is_slow_and_above_one_no_share_opens_it() {
    for (duration, threshold) in [(None, 0.5), (Some(2.0), 1.000_001), (Some(2.0), 0.0), (Some(f64::NAN), 0.5), (Some(0.0), 0.5)] {
        let mut machine = Machine::impatient();
        machine.config = BreakerConfig { slow_call_duration: duration, slow_call_rate_threshold: threshold, ..machine.config };
        for _ in 0..100 {
            assert_eq!(machine.take(Event::Success, f64::MAX, 0), Phase::Closed, "{duration:?} {threshold}");
        }
    }
}

#[test]
fn a_call_that_was_not_measured_is_never_slow() {
    let mut machine = Machine::impatient();
    machine.config.slow_call_duration = Some(f64::MIN_POSITIVE);
    machine.see(Event::Success(0), 0);
    assert_eq!(machine.window(), (1, 0, 0));
}

#[test]
fn slow_calls_of_a_window_that_has_passed_are_forgotten() {
    let mut machine = Machine::impatient();
    for _ in 0..19 {
        machine.take(Event::Success, 3.0, 0);
    }
    machine.now = 601 * SECOND;
    assert_eq!(machine.take(Event::Success, 3.0, 0), Phase::Closed);
    assert_eq!(machine.window(), (1, 0, 1));
}

#[test]
fn a_slow_probe_opens_it_again_where_slow_calls_count_at_all() {
    for (threshold, then) in [(0.5, Phase::Open), (1.0, Phase::Open), (1.5, Phase::Closed), (f64::NAN, Phase::Closed)] {
        let mut machine = Machine::half_open();
        machine.now += 5 * SECOND;
        machine.config = BreakerConfig { slow_call_duration: Some(2.0), slow_call_rate_threshold: threshold, ..machine.config };
        assert_eq!(machine.take(Event::Success, 1.9, 0), Phase::HalfOpen);
        // Otherwise the second success closes it.
        assert_eq!(machine.take(Event::Success, 2.0, 0), then, "{threshold}");
    }
}

#[test]
fn failures_that_are_each_near_to_the_one_before_add_up_however_long_they_go_on() {
    let mut machine = Machine::new(BreakerConfig::default());
    for failures in 1..5 {
        machine.now += 500 * SECOND;
        assert_eq!((machine.fail(), machine.at.state.consecutive_failures), (Phase::Closed, failures));
    }
    machine.now += 500 * SECOND;
    assert_eq!(machine.fail(), Phase::Open);
}

#[test]
fn a_slow_result_from_before_the_trip_changes_nothing() {
    let mut closed = Machine::half_open();
    assert_eq!([0; 2].map(|_| closed.take(Event::Success, 0.0, 0)), [Phase::HalfOpen, Phase::Closed]);
    for mut machine in [Machine::opened(), Machine::half_open(), closed] {
        machine.config.slow_call_duration = Some(2.0);
        let before = machine.at.clone();
        let late = Observation { event: Event::Success(0), now: machine.now, successes: 0, took: 9.0 };
        assert_eq!(step(&machine.config, before.state.clone(), &late), before);
    }
}

#[test]
fn invalid_breaker_settings_neither_freeze_nor_panic() {
    for bad in [0.0, -1.0, f64::NAN] {
        let config = BreakerConfig {
            failure_threshold: 0,
            recovery_timeout: bad,
            success_threshold: 0,
            half_open_permits: 0,
            failure_window: bad,
            failure_rate_threshold: bad,
            minimum_calls: 0,
            slow_call_duration: Some(bad),
            slow_call_rate_threshold: bad,
        };
        let mut machine = Machine::new(config);
        assert_eq!(machine.fail(), Phase::Open);
        machine.now += 1;
        assert_eq!(machine.see(Event::Elapsed, 0), Phase::HalfOpen);
        assert_eq!(machine.at.admission, Admission::Probes(1));
        assert_eq!(machine.see(Event::Success(machine.at.state.generation), 0), Phase::Closed);
    }
}

#[test]
fn every_path_through_the_machine_takes_only_the_four_transitions() {
    let events = |generation| [Event::Elapsed, Event::Success(generation), Event::Failure(generation), Event::Ignored(generation)];
    let config = BreakerConfig { failure_threshold: 2, success_threshold: 2, recovery_timeout: 1.0, ..BreakerConfig::default() };
    let mut frontier = alloc::vec![initial(0).state];
    for round in 1..8 {
        let now = round * SECOND;
        frontier = frontier
            .into_iter()
            .flat_map(|state| events(state.generation).map(|event| (state.clone(), event)))
            .map(|(state, event)| {
                let from = state.phase;
                let to = step(&config, state, &Observation { event, now, successes: 0, took: 0.0 }).state;
                let allowed = [
                    (Phase::Closed, Phase::Open),
                    (Phase::Open, Phase::HalfOpen),
                    (Phase::HalfOpen, Phase::Closed),
                    (Phase::HalfOpen, Phase::Open),
                ];
                assert!(from == to.phase || allowed.contains(&(from, to.phase)), "{from} -> {} by {event:?}", to.phase);
                to
            })
            .collect();
        frontier.truncate(4096);
    }
}
