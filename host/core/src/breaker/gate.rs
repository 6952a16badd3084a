//! Enforces the admission that the policy set last, by a few atomics in place of a lock.
//!
//! A passing call costs one load before, one load and one counter after: no lock, clock or policy. Success counters are
//! spread, so threads do not contend for a cache line. [`TIMED`] turns [`Gate::passes`] off, so breakers without a
//! slow-call threshold pay nothing for it.

use crate::clock::{Clock, Instant};
use crate::sync::{AtomicU64, Ordering, thread_number};
use crate::types::Admission;

/// [`Gate::word`] has the mode in its two lowest bits, then [`TIMED`], then the generation, [`GENERATION`] bits up.
const ALL: u64 = 0;
const NONE_UNTIL: u64 = 1;
const PROBES: u64 = 2;
const ISOLATED: u64 = 3;
const MODE: u64 = 3;
const TIMED: u64 = 4;
const GENERATION: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Admitted.
    Pass { generation: u64 },
    /// The permit must be returned.
    Probe { generation: u64 },
    /// Nanoseconds until the instant.
    NotFor(u64),
    /// The instant has passed: ask the policy.
    Elapsed,
    /// All probes are in flight.
    ProbesTaken { generation: u64 },
    /// Isolated by hand.
    Isolated,
}

pub(super) struct Gate {
    word: AtomicU64,
    until: AtomicU64,
    /// Lower half: free permits; upper: their generation.
    permits: AtomicU64,
    /// Permits, free or taken.
    allowed: AtomicU64,
    taken: AtomicU64,
    /// Minimum nanoseconds of a slow call, if measured.
    slow: AtomicU64,
    successes: Successes,
}

impl Gate {
    pub(super) fn new(generation: u64, admission: Admission) -> Self {
        let zero = || AtomicU64::new(0);
        let successes = Successes::default();
        let gate = Self { word: zero(), until: zero(), permits: zero(), allowed: zero(), taken: zero(), slow: zero(), successes };
        gate.set(generation, admission);
        gate
    }

    /// The generation if all calls pass unmeasured: the fast path.
    #[inline]
    pub(super) fn passes(&self) -> Option<u64> {
        let word = self.word.load(Ordering::Acquire);
        (word & (MODE | TIMED) == ALL).then_some(word >> GENERATION)
    }

    /// `None` stops measuring. Needs the breaker's lock.
    pub(super) fn measure(&self, slow: Option<u64>) {
        let word = self.word.load(Ordering::Acquire) & !TIMED;
        self.slow.store(slow.unwrap_or(u64::MAX), Ordering::Release);
        self.word.store(word | if slow.is_some() { TIMED } else { 0 }, Ordering::Release);
    }

    pub(super) fn is_timed(&self) -> bool {
        self.word.load(Ordering::Acquire) & TIMED != 0
    }

    pub(super) fn is_slow(&self, took: u64) -> bool {
        took >= self.slow.load(Ordering::Acquire)
    }

    /// Reads the clock only if needed.
    #[inline]
    pub(super) fn ask(&self, clock: &(impl Clock + ?Sized)) -> Answer {
        loop {
            let word = self.word.load(Ordering::Acquire);
            let generation = word >> GENERATION;
            match word & MODE {
                ALL => return Answer::Pass { generation },
                NONE_UNTIL => {
                    return match time_left(self.until.load(Ordering::Acquire), clock) {
                        0 => Answer::Elapsed,
                        left => Answer::NotFor(left),
                    };
                }
                PROBES => {
                    if let Some(answer) = self.take_permit(generation, clock) {
                        return answer;
                    }
                }
                _ => return Answer::Isolated,
            }
        }
    }

    /// `None` if the generation just changed.
    fn take_permit(&self, generation: u64, clock: &(impl Clock + ?Sized)) -> Option<Answer> {
        let taken = self.permits.fetch_update(Ordering::AcqRel, Ordering::Acquire, |permits| {
            (permits >> 32 == generation & 0xffff_ffff && permits & 0xffff_ffff > 0).then(|| permits - 1)
        });
        match taken {
            Ok(_) => {
                self.taken.store(clock.now(), Ordering::Release);
                Some(Answer::Probe { generation })
            }
            Err(permits) if permits >> 32 == generation & 0xffff_ffff => Some(Answer::ProbesTaken { generation }),
            Err(_) => None,
        }
    }

    pub(super) fn probes(&self) -> u64 {
        self.allowed.load(Ordering::Acquire)
    }

    pub(super) fn is_probed(&self, generation: u64) -> bool {
        self.word.load(Ordering::Acquire) & !TIMED == generation << GENERATION | PROBES
    }

    pub(super) fn give_back(&self, generation: u64) {
        let allowed = self.allowed.load(Ordering::Acquire);
        let _ = self.permits.fetch_update(Ordering::AcqRel, Ordering::Acquire, |permits| {
            (permits >> 32 == generation & 0xffff_ffff && permits & 0xffff_ffff < allowed).then(|| permits + 1)
        });
    }

    /// Frees a permit if none was taken or freed for `patience` nanoseconds: a hanging probe must not block others
    /// forever.
    pub(super) fn relieve(&self, generation: u64, now: Instant, patience: u64) -> bool {
        let taken = self.taken.load(Ordering::Acquire);
        // One of several threads adds it.
        let due =
            now.saturating_sub(taken) >= patience && self.taken.compare_exchange(taken, now, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if due {
            self.give_back(generation);
        }
        due
    }

    #[inline]
    pub(super) fn succeeded(&self, generation: u64) {
        if self.word.load(Ordering::Acquire) & !TIMED == generation << GENERATION | ALL {
            self.successes.add();
        }
    }

    pub(super) fn take_successes(&self) -> u64 {
        self.successes.take()
    }

    /// Needs the breaker's lock.
    pub(super) fn set(&self, generation: u64, admission: Admission) {
        let word = self.word.load(Ordering::Acquire);
        let (before, timed) = (word & !TIMED, word & TIMED);
        let mode = match admission {
            Admission::All => ALL,
            Admission::NoneUntil(until) => {
                self.until.store(until, Ordering::Release);
                NONE_UNTIL
            }
            Admission::Probes(permits) => {
                // Within a generation, permits in flight stay counted.
                self.allowed.store(permits.into(), Ordering::Release);
                if before != generation << GENERATION | PROBES {
                    // One swap sets generation and count: a permit that returns later is of an old generation.
                    self.permits.swap((generation & 0xffff_ffff) << 32 | u64::from(permits), Ordering::AcqRel);
                }
                PROBES
            }
        };
        if generation != before >> GENERATION {
            self.successes.take();
        }
        self.word.store(generation << GENERATION | timed | mode, Ordering::Release);
    }

    /// Until [`Gate::set`]. Needs the breaker's lock.
    pub(super) fn isolate(&self, generation: u64) {
        let timed = self.word.load(Ordering::Acquire) & TIMED;
        self.word.store(generation << GENERATION | timed | ISOLATED, Ordering::Release);
    }
}

/// Nanoseconds before a deadline within which the exact clock is read: the coarse clock may lag that far.
const NEAR: u64 = 20_000_000;

fn time_left(until: Instant, clock: &(impl Clock + ?Sized)) -> u64 {
    match until.saturating_sub(clock.coarse()) {
        near @ 1..NEAR => near.min(until.saturating_sub(clock.now())),
        left => left,
    }
}

/// Threads with their own cell.
const OWN: usize = 16;
/// Cells for all others.
const SHARED: usize = 4;

/// A count that only grows. Its reader remembers the last value, so no addition is lost.
#[derive(Default)]
struct Successes {
    own: [Padded; OWN],
    shared: [Padded; SHARED],
    taken: AtomicU64,
}

/// Alone on its cache line; 128 bytes: some processors fetch pairs.
#[derive(Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl Successes {
    #[inline]
    fn add(&self) {
        let number = thread_number();
        match number.and_then(|number| self.own.get(number)) {
            // One writer: no locked instruction.
            Some(Padded(cell)) => cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed),
            None => {
                self.shared[number.unwrap_or_default() % SHARED].0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Calls must not overlap.
    fn take(&self) -> u64 {
        let added = self.own.iter().chain(&self.shared).map(|cell| cell.0.load(Ordering::Relaxed)).fold(0, u64::wrapping_add);
        added.wrapping_sub(self.taken.swap(added, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;
    use std::time::Duration;

    fn at(now: u64) -> DrivenClock {
        let clock = DrivenClock::new();
        clock.advance(Duration::from_nanos(now));
        clock
    }

    struct NoClock;

    impl Clock for NoClock {
        fn now(&self) -> Instant {
            panic!("the clock was read")
        }

        fn wall(&self) -> std::time::SystemTime {
            panic!("the clock was read")
        }

        fn sleep(&self, _: Duration) -> crate::clock::Sleep {
            panic!("the clock was waited for")
        }

        fn sleep_blocking(&self, _: Duration) {
            panic!("the clock was waited for")
        }
    }

    struct Behind(DrivenClock, u64);

    impl Clock for Behind {
        fn now(&self) -> Instant {
            self.0.now()
        }

        fn coarse(&self) -> Instant {
            self.0.now() - self.1
        }

        fn wall(&self) -> std::time::SystemTime {
            self.0.wall()
        }

        fn sleep(&self, span: Duration) -> crate::clock::Sleep {
            self.0.sleep(span)
        }

        fn sleep_blocking(&self, span: Duration) {
            self.0.sleep_blocking(span);
        }
    }

    #[test]
    fn a_coarse_clock_rejects_nobody_for_longer() {
        let gate = Gate::new(1, Admission::NoneUntil(100_000_000));
        let asked_at = |now| gate.ask(&Behind(at(now), 4_000_000));
        assert_eq!(asked_at(50_000_000), Answer::NotFor(54_000_000));
        assert_eq!(asked_at(99_000_000), Answer::NotFor(1_000_000));
        assert_eq!(asked_at(100_000_000), Answer::Elapsed);
        assert_eq!(asked_at(200_000_000), Answer::Elapsed);
    }

    #[test]
    fn the_clock_is_not_read_while_everything_passes() {
        let gate = Gate::new(3, Admission::All);
        assert_eq!(gate.ask(&NoClock), Answer::Pass { generation: 3 });
    }

    #[test]
    fn a_gate_measures_calls_while_a_slow_call_threshold_is_set_through_all_transitions() {
        let gate = Gate::new(3, Admission::All);
        assert_eq!((gate.passes(), gate.is_timed()), (Some(3), false));
        gate.measure(Some(50));
        assert_eq!((gate.passes(), gate.ask(&NoClock)), (None, Answer::Pass { generation: 3 }));
        assert_eq!([49, 50, u64::MAX].map(|took| gate.is_slow(took)), [false, true, true]);
        gate.set(4, Admission::NoneUntil(9));
        assert!(gate.is_timed());
        gate.isolate(5);
        assert_eq!((gate.ask(&NoClock), gate.is_timed()), (Answer::Isolated, true));
        gate.set(6, Admission::Probes(1));
        assert_eq!((gate.ask(&at(0)), gate.ask(&at(0))), (Answer::Probe { generation: 6 }, Answer::ProbesTaken { generation: 6 }));
        gate.set(7, Admission::All);
        assert_eq!((gate.passes(), gate.is_timed()), (None, true));
        gate.measure(None);
        assert_eq!((gate.passes(), gate.is_timed(), gate.is_slow(u64::MAX - 1)), (Some(7), false, false));
    }

    #[test]
    fn setting_the_same_probes_again_hands_out_no_more_permits_where_calls_are_measured() {
        let gate = Gate::new(1, Admission::Probes(1));
        gate.measure(Some(50));
        gate.ask(&at(0));
        gate.set(1, Admission::Probes(1));
        assert_eq!(gate.ask(&at(0)), Answer::ProbesTaken { generation: 1 });
    }

    #[test]
    fn successes_are_counted_and_kept_when_calls_begin_to_be_measured() {
        let gate = Gate::new(1, Admission::All);
        gate.succeeded(1);
        gate.measure(Some(50));
        gate.succeeded(1);
        gate.succeeded(0);
        gate.set(1, Admission::All);
        assert_eq!(gate.take_successes(), 2);
    }

    #[test]
    fn permits_are_handed_out_once_each_and_come_back_once_each() {
        let gate = Gate::new(1, Admission::Probes(2));
        assert_eq!(
            [0; 3].map(|_| gate.ask(&at(0))),
            [Answer::Probe { generation: 1 }, Answer::Probe { generation: 1 }, Answer::ProbesTaken { generation: 1 }]
        );
        gate.give_back(1);
        assert_eq!(gate.ask(&at(0)), Answer::Probe { generation: 1 });
        assert_eq!(gate.ask(&at(0)), Answer::ProbesTaken { generation: 1 });
    }

    #[test]
    fn a_permit_of_an_older_generation_adds_none_to_the_next() {
        let gate = Gate::new(1, Admission::Probes(1));
        gate.ask(&at(0));
        gate.set(2, Admission::NoneUntil(10));
        gate.set(3, Admission::Probes(1));
        gate.give_back(1);
        assert_eq!(gate.ask(&at(0)), Answer::Probe { generation: 3 });
        assert_eq!(gate.ask(&at(0)), Answer::ProbesTaken { generation: 3 });
    }

    #[test]
    fn a_probe_that_hangs_is_relieved_once_and_its_late_return_adds_no_permit() {
        let gate = Gate::new(1, Admission::Probes(1));
        gate.ask(&at(100));
        assert!(!gate.relieve(1, 159, 60));
        assert!(gate.relieve(1, 160, 60));
        assert!(!gate.relieve(1, 160, 60));
        assert_eq!(gate.ask(&at(160)), Answer::Probe { generation: 1 });
        gate.give_back(1);
        gate.give_back(1);
        assert_eq!(gate.ask(&at(161)), Answer::Probe { generation: 1 });
        assert_eq!(gate.ask(&at(161)), Answer::ProbesTaken { generation: 1 });
    }

    #[test]
    fn setting_the_same_probes_again_hands_out_no_more_permits() {
        let gate = Gate::new(1, Admission::Probes(1));
        gate.ask(&at(0));
        gate.set(1, Admission::Probes(1));
        assert_eq!(gate.ask(&at(0)), Answer::ProbesTaken { generation: 1 });
    }

    #[test]
    fn successes_of_an_older_generation_are_not_counted() {
        let gate = Gate::new(1, Admission::All);
        gate.succeeded(1);
        gate.succeeded(0);
        assert_eq!(gate.take_successes(), 1);
        assert_eq!(gate.take_successes(), 0);
    }

    #[test]
    fn successes_of_many_threads_are_all_counted_while_they_are_taken() {
        let gate = Gate::new(0, Admission::All);
        let mut taken = 0;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..40).map(|_| scope.spawn(|| (0..10_000).for_each(|_| gate.succeeded(0)))).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                taken += gate.take_successes();
            }
        });
        assert_eq!(taken + gate.take_successes(), 400_000);
    }
}
