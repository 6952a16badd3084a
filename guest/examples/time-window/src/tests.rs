#![allow(clippy::unwrap_used)]

use super::*;
use crate::buckets::BUCKETS;
use alloc::vec::Vec;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use upright_policy_parts::window::Window as _;
use upright_shim::logic::breaker::{self, Admission, Event, Phase};
use upright_shim::logic::recovery::{Directive, Guard, Reason};
use upright_shim::logic::types::{Fault, FaultKind, Seconds};

const SECOND: u64 = 1_000_000_000;

const SLOW: Seconds = 2.0;

/// A breaker over 100 seconds.
struct Machine {
    config: BreakerConfig,
    now: u64,
    at: Transition,
}

impl Machine {
    fn new() -> Self {
        let config = BreakerConfig {
            failure_window: 100.0,
            slow_call_duration: Some(SLOW),
            slow_call_rate_threshold: 0.25,
            ..BreakerConfig::default()
        };
        Self { config, now: 0, at: TimeWindow::initial(0) }
    }

    fn see(&mut self, event: Event, successes: u64) -> Phase {
        self.take(event, 0.0, successes)
    }

    fn take(&mut self, event: Event, took: Seconds, successes: u64) -> Phase {
        let seen = Observation { event, now: self.now, successes, took };
        self.at = TimeWindow::step(&self.config, self.at.state.clone(), &seen);
        self.at.state.phase
    }

    fn fail_after(&mut self, successes: u64) -> Phase {
        self.see(Event::Failure(self.at.state.generation), successes)
    }

    fn decide(&mut self, kind: FaultKind, took: Seconds, successes: u64) -> Verdict {
        let state = self.at.state.clone();
        let generation = state.generation;
        let verdict = TimeWindow::decide(Incident {
            random: 0.5,
            now: self.now,
            guard: Some(Guard { config: self.config, state, generation, successes, took }),
            ..Incident::of(Fault::new(kind, ""))
        });
        self.at = verdict.breaker.clone().unwrap();
        verdict
    }

    fn tally(&self) -> (u64, u64, u64) {
        let tally = Buckets::read(&self.config, &self.at.state).tally();
        (tally.calls, tally.failures, tally.slow)
    }
}

#[test]
fn the_time_window_opens_at_its_failure_rate_and_not_before() {
    let mut machine = Machine::new();
    machine.now = 50 * SECOND;
    assert_eq!(machine.fail_after(50), Phase::Closed);
    for _ in 1..49 {
        assert_eq!(machine.fail_after(0), Phase::Closed);
    }
    assert_eq!(machine.tally(), (99, 49, 0));
    assert_eq!(machine.fail_after(0), Phase::Open);
    assert_eq!(machine.at.admission, Admission::NoneUntil(110 * SECOND));
}

#[test]
fn a_service_that_never_fails_but_is_slow_opens_it_at_the_share_of_slow_calls() {
    let mut machine = Machine::new();
    assert_eq!(machine.take(Event::Success(0), SLOW, 60), Phase::Closed);
    for _ in 1..19 {
        assert_eq!(machine.take(Event::Success(0), SLOW, 0), Phase::Closed);
    }
    assert_eq!((machine.tally(), machine.take(Event::Success(0), 1.999, 0)), ((79, 0, 19), Phase::Closed));
    assert_eq!(machine.take(Event::Success(0), SLOW, 0), Phase::Closed);
    assert_eq!(machine.take(Event::Success(0), SLOW, 0), Phase::Open);
}

#[test]
fn a_failure_is_slow_by_the_time_that_it_took_and_not_by_its_kind() {
    let mut machine = Machine::new();
    machine.decide(FaultKind::Timeout, 0.5, 9);
    assert_eq!(machine.tally(), (10, 1, 0));
    machine.decide(FaultKind::ConnectionRefused, SLOW, 0);
    assert_eq!(machine.tally(), (11, 2, 1));
    machine.config.slow_call_duration = None;
    machine.decide(FaultKind::Timeout, 600.0, 0);
    assert_eq!(machine.tally(), (12, 3, 1));
}

#[test]
fn slow_calls_leave_the_window_as_others_do() {
    let mut machine = Machine::new();
    machine.take(Event::Success(0), SLOW, 0);
    machine.now = 99 * SECOND;
    machine.take(Event::Success(0), SLOW, 0);
    assert_eq!(machine.tally(), (2, 0, 2));
    machine.now = 100 * SECOND;
    machine.take(Event::Success(0), SLOW, 0);
    assert_eq!(machine.tally(), (2, 0, 2));
}

#[test]
fn slow_failures_open_the_time_window_at_the_slow_call_rate() {
    let mut machine = Machine::new();
    machine.config.failure_rate_threshold = 2.0;
    let verdict = machine.decide(FaultKind::Timeout, 9.0, 60);
    assert!(matches!(verdict.directive, Directive::RetryAfter(_)));
    for _ in 1..19 {
        machine.decide(FaultKind::Timeout, 9.0, 0);
        assert_eq!(machine.at.state.phase, Phase::Closed);
    }
    let verdict = machine.decide(FaultKind::Timeout, 9.0, 0);
    assert_eq!((machine.at.state.phase, verdict.directive, verdict.reason), (Phase::Open, Directive::GiveUp, Reason::CircuitOpen));
}

#[test]
fn a_call_leaves_the_window_when_its_tenth_is_over_and_not_before() {
    let mut machine = Machine::new();
    machine.now = 9 * SECOND;
    machine.fail_after(0);
    for (seconds, calls) in [(10, 2), (99, 3), (100, 3)] {
        machine.now = seconds * SECOND;
        machine.fail_after(0);
        assert_eq!(machine.tally().0, calls, "after {seconds} s");
    }
}

#[test]
fn failures_ninety_days_apart_never_open_it() {
    let mut machine = Machine::new();
    machine.config.minimum_calls = 2;
    for _ in 0..50 {
        machine.now += 90 * 86_400 * SECOND;
        assert_eq!(machine.fail_after(0), Phase::Closed);
        assert_eq!((machine.tally(), machine.at.state.consecutive_failures), ((1, 1, 0), 1));
    }
}

#[test]
fn a_row_of_failures_goes_on_while_each_is_near_to_the_one_before() {
    let mut machine = Machine::new();
    for failures in 1..10 {
        machine.now += 90 * SECOND;
        machine.fail_after(0);
        assert_eq!(machine.at.state.consecutive_failures, failures);
    }
}

#[test]
fn a_slow_probe_opens_it_again_and_a_slow_success_from_before_changes_nothing() {
    let mut machine = Machine::new();
    machine.config.minimum_calls = 1;
    machine.fail_after(0);
    machine.now = 60 * SECOND;
    machine.see(Event::Elapsed, 0);
    assert_eq!(machine.take(Event::Success(0), SLOW, 0), Phase::HalfOpen);
    assert_eq!(machine.take(Event::Success(2), SLOW, 0), Phase::Open);
}

#[test]
fn successes_count_as_if_they_had_come_evenly_since_they_were_last_told() {
    let mut machine = Machine::new();
    // The window from 900 s holds 101 of 1000, and the failure.
    machine.now = 1000 * SECOND - 1;
    machine.fail_after(1000);
    assert_eq!(machine.tally(), (102, 1, 0));
    machine.fail_after(40);
    assert_eq!(machine.tally(), (143, 2, 0));
}

#[test]
fn a_clock_that_stands_or_goes_back_loses_no_call() {
    let mut machine = Machine::new();
    machine.now = 500 * SECOND;
    machine.fail_after(3);
    let before = machine.tally().0;
    for now in [500 * SECOND, 3 * SECOND, 0] {
        machine.now = now;
        machine.fail_after(1);
    }
    assert_eq!(machine.tally().0, before + 6);
}

#[test]
fn a_changed_setting_begins_a_new_window() {
    let mut machine = Machine::new();
    machine.fail_after(7);
    machine.config.failure_window = 200.0;
    machine.fail_after(0);
    assert_eq!(machine.tally(), (1, 1, 0));
}

#[test]
fn the_time_window_reads_foreign_or_damaged_memory_as_empty() {
    let mut machine = Machine::new();
    machine.fail_after(40);
    let written = machine.at.state.memory.clone();
    let default = breaker::step(
        &machine.config,
        breaker::initial(0).state,
        &Observation { event: Event::Failure(0), now: 0, successes: 40, took: 0.0 },
    );
    let mut memories = alloc::vec![Vec::new(), alloc::vec![0; written.len()], alloc::vec![255; 4096], default.state.memory];
    memories.extend((0..written.len()).map(|cut| written[..cut].to_vec()));
    memories.extend((0..written.len() * 8).map(|bit| {
        let mut memory = written.clone();
        memory[bit / 8] ^= 1 << (bit % 8);
        memory
    }));
    for memory in memories {
        let mut machine = Machine::new();
        machine.at.state.memory = memory;
        assert_eq!(machine.fail_after(0), Phase::Closed);
        assert_eq!(machine.tally(), (1, 1, 0));
    }
}

#[test]
fn sound_check_sums_over_odd_contents_neither_panic_nor_count_more_failures_than_calls() {
    use upright_policy_parts::memory::sealed;
    let contents = |newest: u64, asked: u64, bucket: [u32; 3]| {
        let head = [10 * SECOND, newest, asked, u64::MAX].map(u64::to_le_bytes).concat();
        [head, bucket.map(u32::to_le_bytes).concat().repeat(BUCKETS)].concat()
    };
    for impossible in [[1, 2, 0], [2, 1, 3]] {
        let mut machine = Machine::new();
        machine.at.state.memory = sealed(STATE_LAYOUT, contents(0, 0, impossible));
        assert_eq!(machine.tally(), (0, 0, 0));
    }
    for (newest, asked) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        let mut machine = Machine::new();
        machine.config.failure_rate_threshold = 1.0;
        machine.now = u64::MAX / 2;
        machine.at.state.memory = sealed(STATE_LAYOUT, contents(newest, asked, [u32::MAX, 1, 0]));
        assert_eq!(machine.fail_after(u64::MAX), Phase::Closed);
    }
}

#[test]
fn the_memory_of_the_time_window_stays_below_its_limit() {
    let mut machine = Machine::new();
    machine.config.failure_rate_threshold = 2.0;
    for successes in [0, 1, 99, u64::from(u32::MAX), u64::MAX] {
        machine.now = machine.now * 31 + SECOND;
        machine.fail_after(successes);
        assert_eq!(machine.at.state.memory.len(), 156);
    }
}

#[test]
fn invalid_settings_neither_panic_nor_open_the_time_window() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut machine = Machine::new();
        machine.config = BreakerConfig {
            failure_threshold: 0,
            recovery_timeout: bad,
            success_threshold: 0,
            half_open_permits: 0,
            failure_window: bad,
            failure_rate_threshold: bad,
            minimum_calls: u32::MAX,
            slow_call_duration: Some(bad),
            slow_call_rate_threshold: bad,
        };
        for _ in 0..300 {
            machine.now = machine.now.wrapping_mul(3).wrapping_add(1);
            assert_eq!(machine.take(Event::Failure(0), f64::MAX, machine.now % 3), Phase::Closed, "{bad}");
            assert_eq!(machine.take(Event::Success(0), f64::MAX, 0), Phase::Closed, "{bad}");
        }
    }
}

#[test]
fn a_window_without_end_keeps_every_call() {
    let mut machine = Machine::new();
    machine.config = BreakerConfig { failure_window: f64::INFINITY, minimum_calls: 1000, ..machine.config };
    for _ in 0..100 {
        machine.now += 86_400 * SECOND;
        machine.fail_after(1);
    }
    assert_eq!(machine.tally(), (200, 100, 0));
}

#[test]
fn probes_and_results_from_before_the_trip_are_as_by_the_default_policy() {
    let mut machine = Machine::new();
    machine.config.minimum_calls = 1;
    assert_eq!(machine.fail_after(0), Phase::Open);
    for event in [Event::Failure(0), Event::Success(0), Event::Ignored(0)] {
        assert_eq!(machine.see(event, 9), Phase::Open);
    }
    machine.now = 60 * SECOND;
    assert_eq!(machine.see(Event::Elapsed, 0), Phase::HalfOpen);
    assert_eq!(machine.see(Event::Failure(2), 0), Phase::Open);
    machine.now = 120 * SECOND;
    machine.see(Event::Elapsed, 0);
    machine.see(Event::Success(4), 0);
    assert_eq!(machine.see(Event::Success(4), 0), Phase::Closed);
    assert_eq!((machine.tally(), machine.at.state.generation), ((0, 0, 0), 5), "a new window begins");
}

#[test]
fn the_time_window_policy_has_its_own_name_and_state_layout() {
    let (own, default) = (TimeWindow::describe(), metadata::describe());
    assert_ne!(own.name, default.name);
    assert_ne!(own.state_layout, default.state_layout);
}

/// The reference.
struct Naive {
    /// Time, failed, slow.
    calls: Vec<(u64, bool, bool)>,
    asked: u64,
}

impl Naive {
    fn see(&mut self, successes: u64, against: Option<(bool, bool)>, now: u64) {
        let span = now - self.asked;
        self.calls.extend((1..=successes).map(|number| (self.asked + (number * span).div_ceil(successes), false, false)));
        self.calls.extend(against.map(|(failed, slow)| (now, failed, slow)));
        if successes > 0 || against.is_some() {
            self.asked = now;
            self.calls.retain(|call| call.0 / (10 * SECOND) + BUCKETS as u64 > now / (10 * SECOND));
        }
    }

    fn tally(&self) -> (u64, u64, u64) {
        let count = |of: fn(&(u64, bool, bool)) -> bool| self.calls.iter().filter(|call| of(call)).count() as u64;
        (self.calls.len() as u64, count(|call| call.1), count(|call| call.2))
    }

    fn opens(&self) -> bool {
        let (calls, failures, slow) = self.tally();
        calls >= 20 && (failures * 2 >= calls || slow * 4 >= calls)
    }
}

#[test]
fn a_long_sequence_of_calls_opens_it_exactly_when_a_list_of_all_calls_says_so() {
    let (mut opened, mut stayed) = (0, 0);
    for seed in 0..40 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut machine = Machine::new();
        let mut naive = Naive { calls: Vec::new(), asked: 0 };
        let healthy = 1 + seed % 5;
        for _ in 0..1000 {
            machine.now += match random.random_range(0..100) {
                0 => random.random_range(0..500 * SECOND),
                1..20 => 0,
                // To a bucket's edge.
                20..30 => 10 * SECOND - machine.now % (10 * SECOND) - u64::from(random.random::<bool>()),
                _ => random.random_range(0..2 * SECOND),
            };
            let successes = if random.random_range(0..3) < 2 { random.random_range(0..=healthy) } else { 0 };
            let (slow, fails) = (random.random_range(0..5) == 0, random.random_range(0..10) > 0);
            let took = if slow { SLOW } else { 0.1 };
            naive.see(successes, (fails || slow).then_some((fails, slow)), machine.now);
            match (fails, slow) {
                (true, true) => drop(machine.decide(FaultKind::ConnectionReset, took, successes)),
                (true, false) => drop(machine.take(Event::Failure(0), took, successes)),
                (false, true) => drop(machine.take(Event::Success(0), took, successes)),
                (false, false) => drop(machine.see(Event::Ignored(0), successes)),
            }
            let open = machine.at.state.phase == Phase::Open;
            assert_eq!(open, (fails || slow) && naive.opens(), "seed {seed}: {:?}", naive.tally());
            if open {
                opened += 1;
                naive = Naive { calls: Vec::new(), asked: machine.now };
                machine.at = TimeWindow::initial(machine.now);
            } else {
                stayed += 1;
                assert_eq!(machine.tally(), naive.tally(), "seed {seed}");
            }
        }
    }
    assert!(opened > 100 && stayed > 10_000, "opened {opened} times, stayed {stayed}");
}
