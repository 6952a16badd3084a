use super::*;
use crate::PolicyLifecycle;
use crate::types::*;
use std::time::Duration;
use upright_core::policy::{Answer, Function, Question};
use upright_core::testing::{DrivenClock, TestPolicy};
use upright_test_kit::folder::Folder;
use upright_test_kit::wait::until_blocking;

fn file(folder: &Folder) -> PathBuf {
    folder.path("journal.jsonl")
}

fn lines(folder: &Folder) -> Vec<Line> {
    let text = std::fs::read_to_string(file(folder)).unwrap();
    text.lines().map(|line| Line::read(line.as_bytes()).unwrap()).collect()
}

fn in_memory() -> Journal {
    Journal::builder().build().unwrap()
}

fn machine() -> ResourceSnapshot {
    ResourceSnapshot { memory_total_bytes: 2, memory_available_bytes: 1, disk_total_bytes: 2, disk_available_bytes: 1, cpu_percent: None }
}

fn refused(message: &str) -> Fault {
    Fault::new(FaultKind::ConnectionRefused, message)
}

fn asked(journal: &Journal) -> Vec<(String, By, Function)> {
    journal.recent(usize::MAX).into_iter().map(|entry| (entry.policy, entry.by, entry.question.function())).collect()
}

#[test]
fn a_decision_is_kept_with_its_question_its_answer_who_gave_it_and_when() {
    let (journal, clock) = (in_memory(), DrivenClock::new());
    let slot = crate::patient::slot().with_journal(journal.clone()).connected(clock.shared(), crate::events::Events::default());
    clock.advance(Duration::from_secs(5));
    let answer = slot.slot().classify(&refused("connection refused"));
    let [entry] = &journal.recent(10)[..] else { panic!("{journal:?}") };
    assert_eq!(entry.at, clock.now());
    assert_eq!((entry.policy.clone(), entry.by), (format!("sha256:{}", slot.policy().unwrap().digest()), By::Component));
    assert_eq!((&entry.question, &entry.answer), (&Question::Classify { fault: refused("connection refused") }, &Answer::Classify(answer)));
    assert_eq!((entry.nanoseconds, entry.layout), (0, slot.description().state_layout));
}

#[test]
fn a_journal_entry_says_whether_policy_safe_mode_native_code_or_a_test_answered() {
    let journal = in_memory();
    PolicyLifecycle::native().with_journal(journal.clone()).slot().judge(&machine(), &ResourceThresholds::default());
    PolicyLifecycle::from(TestPolicy::new().slot()).with_journal(journal.clone()).slot().next_model("a", &["b".to_owned()]);
    let nonsense = TestPolicy::new().delay(|_, _, _, _| f64::NAN);
    PolicyLifecycle::from(nonsense.slot()).with_journal(journal.clone()).slot().delay(&RetryConfig::default(), 0, 0.5);
    let decided = |policy: &str, by, function| (policy.to_owned(), by, function);
    assert_eq!(
        asked(&journal),
        [
            decided("native", By::Native, Function::Judge),
            decided("test", By::Component, Function::NextModel),
            decided("test", By::SafeMode, Function::Delay)
        ]
    );
}

#[test]
fn every_question_that_a_slot_asks_is_kept_and_answered_in_the_entry_as_to_the_caller() {
    let journal = in_memory();
    let slot = crate::patient::slot().with_journal(journal.clone());
    let breaker = upright_core::CircuitBreaker::builder("x").failure_threshold(1).policy(slot.clone()).build().unwrap();
    assert!(breaker.call_blocking(|| Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))).is_err());
    slot.slot().recommend(Profile::Quick);
    slot.slot().delay(&RetryConfig::default(), 1, 0.5);
    slot.slot().next_model("qwen3:8b", &["gemma3:4b".to_owned()]);
    slot.slot().simplify_workflow(&[WorkflowEntry { key: "tools".into(), value: WorkflowValue::Items(9) }]);
    let failure = slot.slot().classify(&refused("x"));
    slot.slot().may_serve_cached(Duration::from_secs(1), Duration::from_secs(2), &failure);
    slot.slot().judge(&machine(), &ResourceThresholds::default());
    let (state, mut layout) = slot.slot().initial(7);
    let observation = Observation { event: BreakerEvent::Failure(0), now: 8, successes: 0, took: 0.0 };
    slot.slot().step(&BreakerConfig::default(), state.state, &mut layout, &observation);
    let entries = journal.recent(usize::MAX);
    let functions: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.question.function()).collect();
    let asked: Vec<_> = Function::ALL.iter().copied().filter(|function| *function != Function::Describe).collect();
    assert_eq!(functions.into_iter().collect::<Vec<_>>(), asked);
    for entry in entries {
        assert_eq!(entry.question.answer_natively(), entry.answer, "{:?}", entry.question);
    }
}

#[test]
fn memory_keeps_the_latest_and_no_more_than_it_was_asked_to() {
    let journal = Journal::builder().remember(3).build().unwrap();
    let slot = PolicyLifecycle::native().with_journal(journal.clone());
    (0..10).for_each(|now| drop(slot.slot().initial(now)));
    let instants = |most| journal.recent(most).into_iter().map(|entry| entry.question).collect::<Vec<_>>();
    assert_eq!(instants(10), [7, 8, 9].map(|now| Question::Initial { now }));
    assert_eq!(instants(1), [Question::Initial { now: 9 }]);
    assert_eq!((journal.recent(0).len(), journal.counts().recorded), (0, 10));
}

#[test]
fn texts_and_names_are_left_out_unless_they_are_asked_for() {
    let fault = Fault { status: Some(404), ..Fault::new(FaultKind::HttpStatus, "model 'secret:8b' not found") };
    let kept = |text| {
        let journal = Journal::builder().text(text).build().unwrap();
        let slot = PolicyLifecycle::native().with_journal(journal.clone());
        slot.slot().classify(&fault);
        slot.slot().next_model("secret:8b", &["secret".to_owned()]);
        serde_json::to_string(&journal.recent(2)).unwrap()
    };
    assert!(kept(JournalText::Whole).matches("secret").count() == 3);
    let masked = kept(JournalText::default());
    assert!(!masked.contains("secret") && masked.contains("model 'x:x' not found") && masked.contains("model-2"), "{masked}");
}

#[test]
fn the_file_holds_every_decision_when_the_last_handle_is_dropped() {
    let folder = Folder::new("drop");
    let journal = Journal::builder().file(file(&folder)).build().unwrap();
    let slot = PolicyLifecycle::native().with_journal(journal.clone());
    (0..1000).for_each(|now| drop(slot.slot().initial(now)));
    let remembered = journal.recent(5);
    drop((slot, journal));
    let lines = lines(&folder);
    assert_eq!(lines.len(), 1000);
    assert_eq!(lines[995..], remembered.into_iter().map(|entry| Line::Entry(Box::new(entry))).collect::<Vec<_>>());
}

#[test]
fn a_full_journal_queue_drops_entries_and_records_how_many_and_where() {
    let folder = Folder::new("queue");
    let journal = Journal::builder().file(file(&folder)).queue(2).build().unwrap();
    let slot = PolicyLifecycle::native().with_journal(journal.clone());
    let ask = |instants: std::ops::Range<u64>| instants.for_each(|now| drop(slot.slot().initial(now)));
    {
        // Keeps the queue full.
        let _kept = journal.shared.kept();
        ask(0..5);
    }
    journal.flush();
    ask(5..6);
    journal.flush();
    let read = lines(&folder).into_iter().map(|line| match line {
        Line::Entry(entry) => format!("{:?}", entry.question),
        Line::Lost(lost) => format!("{lost} lost"),
    });
    let initial = |now: u64| format!("{:?}", Question::Initial { now });
    assert_eq!(read.collect::<Vec<_>>(), [initial(0), initial(1), "3 lost".to_owned(), initial(5)]);
    assert_eq!(journal.counts(), JournalCounts { recorded: 6, written: 3, lost: 3 });
}

#[test]
fn a_writer_that_has_gone_to_sleep_is_woken_by_the_next_decision() {
    let folder = Folder::new("sleep");
    let journal = Journal::builder().file(file(&folder)).build().unwrap();
    let slot = PolicyLifecycle::native().with_journal(journal.clone());
    let sleeps = || journal.writer.as_ref().unwrap().sleeps();
    for now in 0..3 {
        until_blocking("the writer sleeps", sleeps);
        slot.slot().initial(now);
        until_blocking("the decision is written", || journal.counts().written > now);
    }
    assert_eq!(lines(&folder).len(), 3);
}

#[test]
fn decisions_of_many_threads_are_all_there() {
    let folder = Folder::new("threads");
    let journal = Journal::builder().file(file(&folder)).queue(100_000).build().unwrap();
    let slot = PolicyLifecycle::native().with_journal(journal.clone());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let slot = &slot;
            scope.spawn(move || (0..2000).for_each(|number| drop(slot.slot().initial(thread * 10_000 + number))));
        }
    });
    drop((slot, journal));
    let mut instants: Vec<u64> = lines(&folder)
        .into_iter()
        .map(|line| match line {
            Line::Entry(entry) => match entry.question {
                Question::Initial { now } => now,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    instants.sort_unstable();
    assert_eq!(instants, (0..4).flat_map(|thread| (0..2000).map(move |number| thread * 10_000 + number)).collect::<Vec<_>>());
}

#[test]
fn a_journal_that_cannot_be_kept_says_why_in_one_line() {
    let folder = Folder::new("refused");
    let missing = Journal::builder().file(folder.path("nowhere/journal.jsonl")).build().unwrap_err().to_string();
    assert!(missing.starts_with("cannot write the journal") && missing.contains("nowhere") && !missing.contains('\n'), "{missing}");
    let limits = Journal::builder().file(file(&folder)).file_limit(1 << 20).total_limit(1 << 20).build().unwrap_err();
    assert!(matches!(limits, JournalError::Limits { .. }), "{limits}");
    assert!(matches!(Journal::builder().file(&folder).build(), Err(JournalError::Open { .. })));
}
