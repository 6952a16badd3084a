#![allow(clippy::unwrap_used)]

use super::*;
use crate::ring::CALLS;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use upright_policy_parts::window::Window as _;
use upright_shim::logic::breaker::{self, Admission, Event, Phase};
use upright_shim::logic::recovery::{Directive, Guard, Reason};
use upright_shim::logic::types::{Fault, FaultKind, Seconds};

const SECOND: u64 = 1_000_000_000;

const SLOW: Seconds = 2.0;

struct Machine {
    config: BreakerConfig,
    now: u64,
    at: Transition,
}

impl Machine {
    fn new() -> Self {
        let config = BreakerConfig { slow_call_duration: Some(SLOW), slow_call_rate_threshold: 0.25, ..BreakerConfig::default() };
        Self { config, now: 0, at: CountWindow::initial(0) }
    }

    fn see(&mut self, event: Event, successes: u64) -> Phase {
        self.take(event, 0.0, successes)
    }

    fn take(&mut self, event: Event, took: Seconds, successes: u64) -> Phase {
        let seen = Observation { event, now: self.now, successes, took };
        self.at = CountWindow::step(&self.config, self.at.state.clone(), &seen);
        self.at.state.phase
    }

    fn fail_after(&mut self, successes: u64) -> Phase {
        self.see(Event::Failure(self.at.state.generation), successes)
    }

    fn succeed_slowly_after(&mut self, successes: u64) -> Phase {
        self.take(Event::Success(self.at.state.generation), SLOW, successes)
    }

    fn decide(&mut self, kind: FaultKind, took: Seconds, successes: u64) -> Phase {
        let mut incident = self.incident(kind, successes);
        incident.guard.as_mut().unwrap().took = took;
        self.at = CountWindow::decide(incident).breaker.unwrap();
        self.at.state.phase
    }

    fn incident(&self, kind: FaultKind, successes: u64) -> Incident {
        let state = self.at.state.clone();
        let generation = state.generation;
        Incident {
            random: 0.5,
            now: self.now,
            guard: Some(Guard { config: self.config, state, generation, successes, took: 0.0 }),
            ..Incident::of(Fault::new(kind, ""))
        }
    }

    fn tally(&self) -> (u64, u64, u64) {
        let tally = Ring::read(&self.config, &self.at.state).tally();
        (tally.calls, tally.failures, tally.slow)
    }
}

#[test]
fn the_count_window_opens_at_its_failure_rate_and_not_before() {
    let mut machine = Machine::new();
    assert_eq!(machine.fail_after(50), Phase::Closed);
    for _ in 1..49 {
        assert_eq!(machine.fail_after(0), Phase::Closed);
    }
    // Half of 100.
    assert_eq!(machine.tally(), (99, 49, 0));
    assert_eq!(machine.fail_after(0), Phase::Open);
    assert_eq!(machine.at.admission, Admission::NoneUntil(60 * SECOND));
}

#[test]
fn consecutive_failures_open_the_count_window_only_after_its_minimum_of_calls() {
    let mut machine = Machine::new();
    for _ in 0..19 {
        assert_eq!(machine.fail_after(0), Phase::Closed);
    }
    assert_eq!(machine.at.state.consecutive_failures, 19, "people can still read the row");
    assert_eq!(machine.fail_after(0), Phase::Open);
}

#[test]
fn a_larger_minimum_than_the_window_means_the_whole_window() {
    let mut machine = Machine::new();
    machine.config.minimum_calls = u32::MAX;
    for _ in 0..99 {
        assert_eq!(machine.fail_after(0), Phase::Closed);
    }
    assert_eq!(machine.fail_after(0), Phase::Open);
}

#[test]
fn a_service_that_never_fails_but_is_slow_opens_it_at_the_share_of_slow_calls() {
    let mut machine = Machine::new();
    assert_eq!(machine.succeed_slowly_after(60), Phase::Closed);
    for _ in 1..19 {
        assert_eq!(machine.succeed_slowly_after(0), Phase::Closed);
    }
    // 21 of 82 is the first quarter.
    assert_eq!((machine.tally(), machine.take(Event::Success(0), 1.999, 0)), ((79, 0, 19), Phase::Closed));
    assert_eq!(machine.succeed_slowly_after(0), Phase::Closed);
    assert_eq!(machine.succeed_slowly_after(0), Phase::Open);
}

#[test]
fn a_failure_is_slow_by_the_time_that_it_took_and_not_by_its_kind() {
    let mut machine = Machine::new();
    machine.decide(FaultKind::Timeout, 0.5, 9);
    assert_eq!(machine.tally(), (10, 1, 0));
    machine.decide(FaultKind::ConnectionRefused, SLOW, 0);
    assert_eq!((machine.tally(), machine.at.state.consecutive_failures), ((11, 2, 1), 2));
    machine.config.slow_call_duration = None;
    machine.decide(FaultKind::Timeout, 600.0, 0);
    assert_eq!(machine.tally(), (12, 3, 1));
}

#[test]
fn slow_failures_open_the_count_window_at_the_slow_call_rate() {
    let mut machine = Machine::new();
    machine.config.failure_rate_threshold = 2.0;
    assert_eq!(machine.decide(FaultKind::Timeout, 9.0, 60), Phase::Closed);
    for _ in 1..19 {
        assert_eq!(machine.decide(FaultKind::Timeout, 9.0, 0), Phase::Closed);
    }
    assert_eq!(machine.decide(FaultKind::Timeout, 9.0, 0), Phase::Open);
}

#[test]
fn slow_calls_alone_open_nothing_before_enough_calls_were_made() {
    let mut machine = Machine::new();
    for _ in 0..19 {
        assert_eq!(machine.succeed_slowly_after(0), Phase::Closed);
    }
    assert_eq!(machine.succeed_slowly_after(0), Phase::Open);
}

#[test]
fn a_slow_success_ends_a_row_of_failures_and_a_pause_after_it_the_window() {
    let mut machine = Machine::new();
    machine.fail_after(0);
    machine.succeed_slowly_after(0);
    assert_eq!((machine.tally(), machine.at.state.consecutive_failures), ((2, 1, 1), 0));
    machine.now = 600 * SECOND;
    machine.fail_after(0);
    assert_eq!(machine.tally(), (3, 2, 1));
    let mut slow = Machine::new();
    slow.succeed_slowly_after(0);
    slow.now = 601 * SECOND;
    slow.succeed_slowly_after(0);
    assert_eq!(slow.tally(), (1, 0, 1));
}

#[test]
fn a_slow_success_from_before_the_trip_changes_nothing() {
    let mut machine = Machine::new();
    machine.at.state.generation = 2;
    let before = machine.at.clone();
    machine.take(Event::Success(0), SLOW, 7);
    assert_eq!(machine.at, before);
}

#[test]
fn a_slow_probe_reopens_the_count_window_breaker() {
    let mut machine = Machine::new();
    machine.config.minimum_calls = 1;
    machine.fail_after(0);
    machine.now = 60 * SECOND;
    machine.see(Event::Elapsed, 0);
    assert_eq!(machine.succeed_slowly_after(0), Phase::Open);
}

#[test]
fn a_call_that_a_hundred_others_followed_is_forgotten() {
    let mut machine = Machine::new();
    for _ in 0..19 {
        machine.fail_after(0);
    }
    assert_eq!(machine.fail_after(99), Phase::Closed);
    assert_eq!(machine.tally(), (100, 1, 0));
    assert_eq!(machine.fail_after(u64::MAX), Phase::Closed);
    assert_eq!(machine.tally(), (100, 1, 0));
}

#[test]
fn the_count_window_counts_successes_that_no_failure_follows() {
    let mut machine = Machine::new();
    machine.see(Event::Ignored(0), 30);
    assert_eq!(machine.tally(), (30, 0, 0));
    machine.see(Event::Success(0), 2);
    assert_eq!(machine.tally(), (33, 0, 0));
    machine.see(Event::Ignored(0), 0);
    machine.see(Event::Elapsed, 5);
    assert_eq!(machine.tally(), (33, 0, 0), "these are not machine of a call");
}

#[test]
fn failures_further_apart_than_the_failure_window_do_not_add_up() {
    let mut machine = Machine::new();
    for _ in 0..200 {
        machine.now += 601 * SECOND;
        assert_eq!(machine.fail_after(0), Phase::Closed);
        assert_eq!((machine.tally(), machine.at.state.consecutive_failures), ((1, 1, 0), 1));
    }
    machine.config.failure_window = f64::INFINITY;
    let opened = (0..20).any(|_| {
        machine.now += 601 * SECOND;
        machine.fail_after(0) == Phase::Open
    });
    assert!(opened, "without a limit of time only calls count");
}

#[test]
fn successes_that_come_with_the_first_failure_after_a_pause_are_not_forgotten_with_the_old_ones() {
    let mut machine = Machine::new();
    machine.fail_after(3);
    machine.now += 601 * SECOND;
    machine.fail_after(7);
    assert_eq!(machine.tally(), (8, 1, 0));
}

#[test]
fn the_count_window_reads_foreign_or_damaged_memory_as_empty() {
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
fn sound_check_sums_over_impossible_contents_are_an_empty_window() {
    use upright_policy_parts::memory::sealed;
    let contents =
        |calls: u8, failed: u128, slow: u128| [&0_u64.to_le_bytes()[..], &[calls], &failed.to_le_bytes(), &slow.to_le_bytes()].concat();
    let too_long = [contents(2, 1, 0), alloc::vec![0]].concat();
    for contents in [
        contents(CALLS + 1, 1, 0),
        contents(255, 1, 0),
        contents(2, 4, 0),
        contents(0, 1, 0),
        contents(2, 1, 4),
        contents(0, 0, 1),
        too_long,
    ] {
        let mut machine = Machine::new();
        machine.at.state.memory = sealed(STATE_LAYOUT, contents);
        assert_eq!(machine.tally(), (0, 0, 0));
    }
}

#[test]
fn the_memory_of_the_count_window_stays_below_its_limit() {
    let mut machine = Machine::new();
    machine.config.failure_rate_threshold = 2.0;
    for successes in [0, 1, 99, 100, u64::from(u32::MAX), u64::MAX] {
        machine.fail_after(successes);
        assert_eq!(machine.at.state.memory.len(), 45);
    }
}

#[test]
fn invalid_settings_neither_panic_nor_open_the_count_window() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut machine = Machine::new();
        machine.config = BreakerConfig {
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
        for _ in 0..300 {
            machine.now = machine.now.wrapping_mul(3).wrapping_add(1);
            assert_eq!(machine.take(Event::Failure(0), f64::MAX, machine.now % 3), Phase::Closed, "{bad}");
            assert_eq!(machine.take(Event::Success(0), f64::MAX, 0), Phase::Closed, "{bad}");
        }
    }
}

#[test]
fn probes_and_results_from_before_the_trip_are_as_by_the_default_policy() {
    let mut machine = Machine::new();
    machine.config.minimum_calls = 1;
    assert_eq!(machine.fail_after(0), Phase::Open);
    for event in [Event::Failure(0), Event::Success(0), Event::Ignored(0)] {
        assert_eq!(machine.see(event, 9), Phase::Open);
        assert_eq!(machine.at.state.generation, 1);
    }
    machine.now = 60 * SECOND;
    assert_eq!(machine.see(Event::Elapsed, 0), Phase::HalfOpen);
    assert_eq!(machine.see(Event::Success(2), 0), Phase::HalfOpen);
    assert_eq!(machine.see(Event::Success(2), 0), Phase::Closed);
    assert_eq!((machine.tally(), machine.at.state.generation), ((0, 0, 0), 3), "a new window begins");
}

#[test]
fn a_failure_that_opens_the_count_window_is_not_retried() {
    let mut machine = Machine::new();
    let before = CountWindow::decide(machine.incident(FaultKind::ConnectionRefused, 0));
    assert!(matches!(before.directive, Directive::RetryAfter(_)));
    machine.config.minimum_calls = 1;
    let verdict = CountWindow::decide(machine.incident(FaultKind::ConnectionRefused, 0));
    assert_eq!((verdict.directive, verdict.reason), (Directive::GiveUp, Reason::CircuitOpen));
}

#[test]
fn a_failure_that_speaks_against_no_service_is_no_call_of_the_window() {
    let mut machine = Machine::new();
    machine.at = CountWindow::decide(machine.incident(FaultKind::InvalidInput, 0)).breaker.unwrap();
    assert_eq!(machine.tally(), (0, 0, 0));
}

#[test]
fn the_count_window_policy_has_its_own_name_and_state_layout() {
    let (own, default) = (CountWindow::describe(), metadata::describe());
    assert_ne!(own.name, default.name);
    assert_ne!(own.state_layout, default.state_layout);
}

/// The reference.
struct Naive {
    /// Failed and slow, oldest first.
    calls: VecDeque<(bool, bool)>,
    last_against: u64,
}

impl Naive {
    fn push(&mut self, failed: bool, slow: bool, now: u64) {
        if self.calls.iter().any(|call| call.0 || call.1) && now - self.last_against > 600 * SECOND {
            self.calls.clear();
        }
        self.calls.push_back((failed, slow));
        if self.calls.len() > usize::from(CALLS) {
            self.calls.pop_front();
        }
        if failed || slow {
            self.last_against = now;
        }
    }

    fn tally(&self) -> (usize, usize, usize) {
        let count = |of: fn(&(bool, bool)) -> bool| self.calls.iter().filter(|call| of(call)).count();
        (self.calls.len(), count(|call| call.0), count(|call| call.1))
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
        let mut naive = Naive { calls: VecDeque::new(), last_against: 0 };
        let healthy = 1 + seed % 5;
        for _ in 0..1000 {
            machine.now += if random.random_range(0..200) == 0 { 700 * SECOND } else { random.random_range(0..2 * SECOND) };
            let successes = if random.random_range(0..3) < 2 {
                random.random_range(0..=healthy)
            } else {
                random.random_range(0..60) * u64::from(random.random_range(0..8) == 0)
            };
            let (slow, fails) = (random.random_range(0..5) == 0, random.random_range(0..10) > 0);
            for _ in 0..successes {
                naive.push(false, false, machine.now);
            }
            let took = if slow { SLOW } else { 0.1 };
            if fails || slow {
                naive.push(fails, slow, machine.now);
            }
            let phase = match (fails, slow) {
                (true, true) => machine.decide(FaultKind::ConnectionReset, took, successes),
                (true, false) => machine.take(Event::Failure(0), took, successes),
                (false, true) => machine.take(Event::Success(0), took, successes),
                (false, false) => machine.see(Event::Ignored(0), successes),
            };
            assert_eq!(phase == Phase::Open, (fails || slow) && naive.opens(), "seed {seed}: {:?}", naive.tally());
            if phase == Phase::Open {
                opened += 1;
                naive = Naive { calls: VecDeque::new(), last_against: machine.now };
                machine.at = CountWindow::initial(machine.now);
            } else {
                stayed += 1;
                let (calls, failures, slow) = naive.tally();
                assert_eq!(machine.tally(), (calls as u64, failures as u64, slow as u64), "seed {seed}");
            }
        }
    }
    assert!(opened > 100 && stayed > 10_000, "opened {opened} times, stayed {stayed}");
}
