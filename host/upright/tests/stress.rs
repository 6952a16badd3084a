//! Many threads: counts add up, and no permit is lost.
//!
//! A binary of its own, because its threads need the whole machine.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use upright::budget::RetryBudgetConfig;
use upright::error::Rejection;
use upright::events::Events;
use upright::testing::DrivenClock;
use upright::types::{BreakerConfig, Phase};
use upright::{Bulkhead, CircuitBreaker, Error, Event, PolicySlot, RetryBudget};
use upright_test_kit::driven::{Driven, seconds};
use upright_test_kit::refused;

const THREADS: u64 = 8;

fn callers_mistake() -> io::Error {
    io::ErrorKind::InvalidInput.into()
}

struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[derive(Debug, Default)]
struct Tally {
    succeeded: AtomicU64,
    failed: AtomicU64,
    callers_mistakes: AtomicU64,
    panicked: AtomicU64,
    dropped: AtomicU64,
    rejected: AtomicU64,
    begun: AtomicU64,
}

impl Tally {
    fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn of(counters: &[&AtomicU64]) -> u64 {
        counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    fn tried(&self) -> u64 {
        Self::of(&[&self.succeeded, &self.failed, &self.callers_mistakes, &self.panicked, &self.dropped])
    }

    fn all(&self) -> u64 {
        self.tried() + Self::of(&[&self.rejected])
    }

    fn call(&self, breaker: &CircuitBreaker, dice: &mut Dice, one_fails_in: u64) {
        let begin = || Self::one(&self.begun);
        if dice.throw(one_fails_in) == 0 {
            return self.ended(breaker.call_blocking(|| (begin(), Err::<(), _>(refused())).1));
        }
        match dice.throw(1000) {
            0 => self.ended(breaker.call_blocking(|| (begin(), Err::<(), _>(callers_mistake())).1)),
            1 => {
                let panic = || -> Result<(), io::Error> {
                    begin();
                    resume_unwind(Box::new("as planned"))
                };
                let call = || breaker.call_blocking(panic);
                match catch_unwind(AssertUnwindSafe(call)) {
                    Ok(outcome) => self.ended(outcome),
                    Err(_) => Self::one(&self.panicked),
                }
            }
            2..50 => {
                let mut call = Driven::new(breaker.call(|| (begin(), pending::<Result<(), io::Error>>()).1));
                match call.poll() {
                    Some(outcome) => self.ended(outcome),
                    None => Self::one(&self.dropped),
                }
            }
            _ => self.ended(breaker.call_blocking(|| (begin(), Ok::<_, io::Error>(())).1)),
        }
    }

    fn ended(&self, outcome: Result<(), Error>) {
        Self::one(match outcome {
            Ok(()) => &self.succeeded,
            Err(Error::CircuitOpen(_)) => &self.rejected,
            Err(Error::Failed(failure)) if failure.classification.counted => &self.failed,
            Err(_) => &self.callers_mistakes,
        });
    }
}

fn config() -> BreakerConfig {
    BreakerConfig { failure_threshold: 1, recovery_timeout: 60.0, success_threshold: 2, half_open_permits: 3, ..BreakerConfig::default() }
}

#[test]
fn ten_million_calls_of_eight_threads_lose_no_permit_and_make_only_the_four_transitions() {
    const CALLS: u64 = 10_000_000;
    let (clock, events, tally) = (DrivenClock::new(), Events::default(), Tally::default());
    let mut seen = events.subscribe();
    let builder = CircuitBreaker::builder("ollama").config(config()).policy(PolicySlot::native());
    let breaker = builder.clock(clock.shared()).events(events).build().unwrap();
    let (down, calls, over) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut moves = [0_u64; 4];
    let note = |event, moves: &mut [u64; 4]| match event {
        Some(Event::BreakerMoved { from, to, .. }) => {
            let kinds = [
                (Phase::Closed, Phase::Open),
                (Phase::Open, Phase::HalfOpen),
                (Phase::HalfOpen, Phase::Open),
                (Phase::HalfOpen, Phase::Closed),
            ];
            let kind = kinds.iter().position(|kind| *kind == (from, to));
            moves[kind.unwrap_or_else(|| panic!("from {from:?} to {to:?}"))] += 1;
            true
        }
        Some(Event::Missed { events }) => panic!("{events} events were missed"),
        Some(event) => panic!("{event:?}"),
        None => false,
    };
    // The number of steps depends on the scheduler: if too few, calls go on, within a bound.
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (breaker, tally, down, calls, over, enough) = (&breaker, &tally, &down, &calls, &over, &enough);
            scope.spawn(move || {
                let mut dice = Dice(thread);
                let (mut made, least) = (0, CALLS / THREADS);
                while made < least || made < 100 * least && !enough.load(Ordering::Relaxed) {
                    tally.call(breaker, &mut dice, if down.load(Ordering::Relaxed) { 20 } else { 20_000 });
                    made += 1;
                }
                calls.fetch_add(made, Ordering::Relaxed);
                over.fetch_add(1, Ordering::Release);
            });
        }
        let mut step = 0_u64;
        while over.load(Ordering::Acquire) < THREADS {
            step += 1;
            down.store(step % 8 < 2, Ordering::Relaxed);
            clock.advance(seconds(7));
            while note(seen.try_recv(), &mut moves) {}
            enough.store(moves.iter().all(|moves| *moves > 0), Ordering::Relaxed);
            std::thread::yield_now();
        }
    });
    while note(seen.try_recv(), &mut moves) {}
    let calls = calls.into_inner();
    println!("{calls} calls: {tally:?}; closed to open, to half-open, back to open, to closed: {moves:?}");
    assert_eq!(tally.all(), calls);
    assert_eq!(tally.tried(), tally.begun.load(Ordering::Relaxed), "what was let through was called, and nothing else");
    assert!(moves.iter().all(|moves| *moves > 0), "{moves:?}");
    // Each opening is followed by a probe, each probing by its end, except the last ones.
    let [opened, probed, reopened, closed] = moves;
    assert!((opened + reopened).abs_diff(probed) <= 1 && (reopened + closed).abs_diff(probed) <= 1, "{moves:?}");

    recovers(&breaker, &clock);
}

fn recovers(breaker: &CircuitBreaker, clock: &DrivenClock) {
    if breaker.state() == Phase::Closed {
        breaker.call_blocking(|| Err::<(), _>(refused())).unwrap_err();
    }
    clock.advance(seconds(60));
    let permits: Vec<_> = (0..3).map(|_| breaker.try_acquire().map_err(|open| open.rejection)).collect();
    assert!(permits.iter().all(Result::is_ok), "{:?}", permits.iter().map(|permit| permit.as_ref().err()).collect::<Vec<_>>());
    assert_eq!(breaker.state(), Phase::HalfOpen);
    assert_eq!(breaker.try_acquire().err().unwrap().rejection, Rejection::Probing);
    permits.into_iter().for_each(|permit| permit.unwrap().success());
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn a_million_probes_of_eight_threads_never_exceed_the_permits_and_all_come_back() {
    const PROBES: u64 = 1_000_000;
    let clock = DrivenClock::new();
    let builder = CircuitBreaker::builder("ollama").config(config()).policy(PolicySlot::native());
    let breaker = builder.clock(clock.shared()).build().unwrap();
    breaker.call_blocking(|| Err::<(), _>(refused())).unwrap_err();
    clock.advance(seconds(60));
    let (running, most, tried) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (breaker, running, most, tried) = (&breaker, &running, &most, &tried);
            scope.spawn(move || {
                let mut dice = Dice(thread);
                for _ in 0..PROBES / THREADS {
                    let Ok(permit) = breaker.try_acquire() else {
                        std::thread::yield_now();
                        continue;
                    };
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tried.fetch_add(1, Ordering::Relaxed);
                    if dice.throw(8) == 0 {
                        std::thread::yield_now();
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    match dice.throw(100) {
                        0 => drop(permit.failure(&callers_mistake())),
                        _ => drop(permit),
                    }
                }
            });
        }
    });
    println!("{PROBES} calls, {tried:?} probes, at most {most:?} at once");
    assert_eq!((breaker.state(), most.load(Ordering::SeqCst)), (Phase::HalfOpen, 3));
    let permits: Vec<_> = (0..4).map(|_| breaker.try_acquire()).collect();
    assert_eq!(permits.iter().filter(|permit| permit.is_ok()).count(), 3);
}

#[test]
fn four_million_takes_of_eight_threads_never_spend_more_than_the_budget_holds_and_gains() {
    const TAKES: u64 = 4_000_000;
    let clock = DrivenClock::new();
    let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 1000, per_second: 50.0 }, clock.shared()).unwrap();
    let fixed = RetryBudget::with_clock(RetryBudgetConfig { capacity: 1000, per_second: 0.0 }, clock.shared()).unwrap();
    let (spent, spent_fixed, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let mut passed = 0;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (budget, fixed, spent, spent_fixed, over) = (&budget, &fixed, &spent, &spent_fixed, &over);
            scope.spawn(move || {
                let mut dice = Dice(thread);
                for _ in 0..TAKES / THREADS / 2 {
                    for (budget, spent) in [(budget, spent), (fixed, spent_fixed)] {
                        let Some(token) = budget.take() else { continue };
                        assert!((1..=1000).contains(&token.left()), "{token:?}");
                        if dice.throw(3) == 0 {
                            token.spend();
                            spent.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                over.fetch_add(1, Ordering::Release);
            });
        }
        while over.load(Ordering::Acquire) < THREADS {
            clock.advance(Duration::from_secs(1));
            passed += 1;
            std::thread::yield_now();
        }
    });
    let (spent, spent_fixed) = (spent.into_inner(), spent_fixed.into_inner());
    println!("{TAKES} takes: {spent} spent of 1000 and 50 a second in {passed} s; {spent_fixed} of 1000, {} left", fixed.left());
    assert!(spent > 1000 && spent + u64::from(budget.left()) <= 1000 + 50 * passed, "{spent} in {passed} s, {} left", budget.left());
    assert_eq!(spent_fixed + u64::from(fixed.left()), 1000);
}

#[test]
fn a_million_calls_of_eight_threads_find_no_more_room_than_there_is_and_leave_it_all() {
    const CALLS: u64 = 1_000_000;
    let bulkhead = Bulkhead::builder("ollama").max_concurrent(4).max_queued(3).build().unwrap();
    let (running, most, most_queued) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (bulkhead, running, most, most_queued, tally) = (&bulkhead, &running, &most, &most_queued, &tally);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut dice = Dice(thread);
                let operation = |busy: bool| async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    most_queued.fetch_max(bulkhead.queued(), Ordering::SeqCst);
                    if busy {
                        std::thread::yield_now();
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, io::Error>(())
                };
                for _ in 0..CALLS / THREADS {
                    let busy = dice.throw(8) == 0;
                    let outcome = if dice.throw(4) == 0 {
                        Driven::new(bulkhead.call(|| async move { (operation(busy).await, pending::<Result<(), io::Error>>().await).1 }))
                            .poll()
                    } else {
                        Some(runtime.block_on(bulkhead.call(|| operation(busy))))
                    };
                    Tally::one(match outcome {
                        None => &tally.dropped,
                        Some(Ok(())) => &tally.succeeded,
                        Some(Err(_)) => &tally.rejected,
                    });
                }
            });
        }
    });
    println!("{CALLS} calls: {tally:?}, at most {most:?} at once and {most_queued:?} waiting");
    assert_eq!(tally.all(), CALLS);
    assert!(most.into_inner() <= 4 && most_queued.into_inner() <= 3);
    assert_eq!((bulkhead.available(), bulkhead.queued()), (4, 0));
}
