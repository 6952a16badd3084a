//! The models. Each runs once for each order of its steps, and panics if its name is wrong.

use crate::bucket::Bucket;
use crate::clock::Clock;
use crate::gate::{Answer, Gate};
use crate::sync::number_thread;
use crate::types::Admission;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

struct At(u64);

impl Clock for At {
    fn now(&self) -> u64 {
        self.0
    }

    fn coarse(&self) -> u64 {
        self.0
    }
}

fn beside<S: Send + Sync + 'static, T: 'static>(shared: &Arc<S>, work: impl FnOnce(&S) -> T + 'static) -> JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared))
}

fn ended<T, const N: usize>(threads: [JoinHandle<T>; N]) -> [T; N] {
    threads.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

fn ask(gate: &Gate) -> Answer {
    gate.ask(&At(9))
}

fn probe(gate: &Gate) -> Answer {
    let answer = ask(gate);
    if let Answer::Probe { generation } = answer {
        gate.give_back(generation);
    }
    answer
}

fn probes(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| matches!(answer, Answer::Probe { .. })).count()
}

fn permits_left(gate: &Gate) -> usize {
    (0..10).take_while(|_| matches!(ask(gate), Answer::Probe { .. })).count()
}

/// Three threads ask for two permits.
pub fn permits_are_handed_out_once_each() {
    let gate = Arc::new(Gate::new(1, Admission::Probes(2)));
    let answers = ended([beside(&gate, ask), beside(&gate, ask), beside(&gate, ask)]);
    assert_eq!(probes(&answers), 2, "{answers:?}");
}

/// Two threads probe in turn with one permit.
pub fn permits_that_come_back_are_neither_lost_nor_doubled() {
    let gate = Arc::new(Gate::new(1, Admission::Probes(1)));
    let answers = ended([beside(&gate, probe), beside(&gate, probe)]);
    assert!(probes(&answers) >= 1, "{answers:?}");
    assert_eq!(permits_left(&gate), 1);
}

/// While a probe ends, the breaker opens and probes again.
pub fn a_permit_of_an_older_generation_adds_none() {
    let gate = Arc::new(Gate::new(1, Admission::Probes(2)));
    assert_eq!(ask(&gate), Answer::Probe { generation: 1 });
    let late = beside(&gate, |gate| gate.give_back(1));
    gate.set(2, Admission::NoneUntil(20));
    gate.set(3, Admission::Probes(2));
    assert_eq!(ask(&gate), Answer::Probe { generation: 3 });
    ended([late]);
    assert_eq!(permits_left(&gate), 1);
}

/// While a probe ends, new settings allow fewer permits.
pub fn a_late_permit_does_not_add_to_fewer_that_are_allowed_now() {
    let gate = Arc::new(Gate::new(1, Admission::Probes(2)));
    assert_eq!(ask(&gate), Answer::Probe { generation: 1 });
    let late = beside(&gate, |gate| gate.give_back(1));
    gate.set(2, Admission::Probes(1));
    ended([late]);
    assert_eq!(permits_left(&gate), 1);
}

/// Two threads ask while the gate changes from "none until" to one probe.
pub fn a_turn_to_probes_lets_no_more_pass_than_it_allows() {
    let gate = Arc::new(Gate::new(1, Admission::NoneUntil(5)));
    let asking = [beside(&gate, ask), beside(&gate, ask)];
    gate.set(2, Admission::Probes(1));
    let [first, second] = ended(asking);
    let answers = [first, second, ask(&gate)];
    assert_eq!(probes(&answers), 1, "{answers:?}");
    let expected =
        |answer: &Answer| matches!(answer, Answer::Elapsed | Answer::Probe { generation: 2 } | Answer::ProbesTaken { generation: 2 });
    assert!(answers.iter().all(expected), "{answers:?}");
}

/// One thread probes while the gate changes from one probe to none and back.
pub fn a_turn_away_from_probes_and_back_neither_loses_nor_doubles_a_permit() {
    let gate = Arc::new(Gate::new(1, Admission::Probes(1)));
    let probing = beside(&gate, probe);
    gate.set(2, Admission::NoneUntil(20));
    gate.set(3, Admission::Probes(1));
    let [answer] = ended([probing]);
    assert!(matches!(answer, Answer::NotFor(11) | Answer::Probe { generation: 1 | 3 }), "{answer:?}");
    assert_eq!(permits_left(&gate), 1);
}

/// Two threads find that the last permit was taken long ago.
pub fn several_that_find_a_hanging_probe_relieve_it_once() {
    let gate = Arc::new(Gate::new(1, Admission::Probes(2)));
    assert_eq!([ask(&gate), ask(&gate)], [Answer::Probe { generation: 1 }; 2]);
    let relieve = |gate: &Gate| gate.relieve(1, 69, 60);
    let relieved = ended([beside(&gate, relieve), beside(&gate, relieve)]);
    assert_eq!(relieved.map(usize::from).iter().sum::<usize>(), 1);
    assert_eq!(permits_left(&gate), 1);
}

/// The hanging probe ends while it is replaced.
pub fn a_probe_that_comes_back_while_it_is_relieved_adds_one_permit() {
    let gate = Arc::new(Gate::new(1, Admission::Probes(1)));
    assert_eq!(ask(&gate), Answer::Probe { generation: 1 });
    let back = beside(&gate, |gate| gate.give_back(1));
    gate.relieve(1, 69, 60);
    ended([back]);
    assert_eq!(permits_left(&gate), 1);
}

/// Two threads count in their own cells, while a third collects.
pub fn successes_are_counted_once_each_while_they_are_taken() {
    let gate = Arc::new(Gate::new(0, Admission::All));
    let succeed = |number| {
        move |gate: &Gate| {
            number_thread(number);
            gate.succeeded(0);
            gate.succeeded(0);
        }
    };
    let counting = [beside(&gate, succeed(0)), beside(&gate, succeed(1))];
    let meanwhile = gate.take_successes();
    ended(counting);
    assert_eq!([meanwhile + gate.take_successes(), gate.take_successes()], [4, 0]);
}

/// A thread counts while measuring begins; another succeeds later.
pub fn successes_are_counted_once_each_while_calls_begin_to_be_measured() {
    let gate = Arc::new(Gate::new(1, Admission::All));
    let counting = beside(&gate, |gate| gate.succeeded(1));
    gate.measure(Some(5));
    gate.succeeded(1);
    ended([counting]);
    assert_eq!((gate.take_successes(), gate.passes(), gate.is_timed()), (2, None, true));
}

/// A probe starts and another ends while measuring begins.
pub fn permits_stay_as_many_while_calls_begin_to_be_measured() {
    let gate = Arc::new(Gate::new(1, Admission::Probes(1)));
    let probing = beside(&gate, probe);
    gate.measure(Some(5));
    gate.set(1, Admission::Probes(1));
    ended([probing]);
    assert_eq!(permits_left(&gate), 1);
}

/// Two threads count in one cell, like threads without their own.
pub fn successes_in_a_shared_cell_are_counted_once_each() {
    let gate = Arc::new(Gate::new(0, Admission::All));
    let succeed = |gate: &Gate| gate.succeeded(0);
    ended([beside(&gate, succeed), beside(&gate, succeed)]);
    assert_eq!(gate.take_successes(), 2);
}

/// Three threads take one token.
pub fn the_last_token_is_taken_once() {
    let bucket = Arc::new(Bucket::full(1, 0.0));
    let take = |bucket: &Bucket| bucket.take(0);
    let mut taken = ended([beside(&bucket, take), beside(&bucket, take), beside(&bucket, take)]);
    taken.sort_unstable();
    assert_eq!(taken, [None, None, Some(0)]);
}

/// One thread returns a token while another takes one for good.
pub fn tokens_that_are_put_back_are_neither_lost_nor_doubled() {
    let bucket = Arc::new(Bucket::full(2, 0.0));
    let borrow = |bucket: &Bucket| bucket.take(0).map(|_| bucket.put_back());
    let spend = |bucket: &Bucket| bucket.take(0).map(|_| ());
    assert_eq!(ended([beside(&bucket, borrow), beside(&bucket, spend)]), [Some(()); 2]);
    assert_eq!([bucket.take(0), bucket.take(0)], [Some(0), None]);
}

/// A token returns to a long full bucket while another is taken.
pub fn a_token_that_comes_back_into_a_full_bucket_adds_none() {
    const LATER: u64 = 3_600_000_000_000;
    let bucket = Arc::new(Bucket::full(1, 1.0));
    assert_eq!(bucket.take(0), Some(0));
    let back = beside(&bucket, Bucket::put_back);
    assert_eq!(bucket.take(LATER), Some(0));
    ended([back]);
    let left = bucket.left(LATER);
    assert!(left <= 1, "{left}");
    assert_eq!((0..10).take_while(|_| bucket.take(LATER).is_some()).count(), left as usize);
}
