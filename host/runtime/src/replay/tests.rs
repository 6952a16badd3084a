use super::*;
use serde_json::{Value, json};

const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");

fn journal(interface: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/conformance/vectors");
    let text = std::fs::read_to_string(format!("{folder}/{interface}.jsonl")).unwrap();
    let entry = |line: &str| {
        let mut vector: Value = serde_json::from_str(line).unwrap();
        let (function, arguments, answer) = (vector["function"].take(), vector["arguments"].take(), vector["answer"].take());
        json!({
            "at": 1, "policy": "native", "by": "native", "layout": 2,
            "function": function, "arguments": arguments, "answer": answer, "nanoseconds": 1,
        })
    };
    text.lines().map(entry).collect()
}

fn replayed(policy: Replayer, against: Option<Replayer>, lines: &[Value]) -> ReplayReport {
    let mut replay = Replay::new(policy, against);
    replay.begin("j");
    lines.iter().for_each(|line| replay.line(line.to_string().as_bytes()));
    replay.report()
}

fn built_in() -> Replayer {
    Replayer::built_in().unwrap()
}

fn steady() -> Replayer {
    Replayer::from_file(STEADY).unwrap()
}

#[test]
fn replaying_a_journal_with_its_own_policy_shows_no_difference() {
    let lines: Vec<_> =
        ["settings", "backoff", "breaker", "classifier", "degradation", "health", "recovery"].into_iter().flat_map(journal).collect();
    let report = replayed(built_in(), None, &lines);
    assert_eq!((report.entries, report.differing, report.unreadable.lines), (lines.len() as u64, 0, 0), "{:?}", report.differences);
    assert_eq!(report.delay.before, report.delay.after);
    assert!(report.retries.after > 0 && report.retries.before == report.retries.after);
    assert!(report.fuel_per_decision.before.is_none() && report.fuel_per_decision.after.unwrap() > 100.0);
}

#[test]
fn delays_that_do_not_grow_are_found_counted_and_summed() {
    let report = replayed(steady(), None, &journal("recovery"));
    let shorter = report.differences.iter().find(|group| group.what == "delay" && group.after.ends_with("shorter")).unwrap();
    assert_eq!((shorter.function, shorter.before.as_str()), (Function::Decide, "retry_after"));
    assert!(report.delay.after < report.delay.before, "{:?}", report.delay);
    assert_eq!(report.differences.iter().map(|group| group.count).sum::<u64>(), report.differing);
    assert!(report.differences.is_sorted_by(|one, next| one.count >= next.count));
    let line = &journal("recovery")[shorter.example.line as usize - 1];
    assert!(line["answer"]["directive"]["retry_after"].is_number(), "{line}");
    let alone = replayed(steady(), None, std::slice::from_ref(line));
    assert_eq!((alone.differing, alone.differences[0].what.as_str(), alone.differences[0].share), (1, "delay", 1.0));
}

#[test]
fn the_same_journal_gives_the_same_report() {
    let lines = journal("recovery");
    assert_eq!(replayed(steady(), Some(built_in()), &lines), replayed(steady(), Some(built_in()), &lines));
}

#[test]
fn comparing_two_policies_in_a_replay_ignores_the_recorded_answers() {
    let mut lines = journal("backoff");
    let report = replayed(steady(), Some(built_in()), &lines);
    lines.iter_mut().for_each(|line| line["answer"] = json!(0.0));
    assert_eq!(replayed(steady(), Some(built_in()), &lines), report);
    assert!(report.differing > 0 && report.fuel_per_decision.before.is_some());
    assert_eq!(
        replayed(built_in(), None, &lines).differing,
        lines.iter().filter(|line| line["answer"] != journal_answer(line)).count() as u64
    );
}

fn journal_answer(line: &Value) -> Value {
    let question: upright_core::policy::Question = serde::Deserialize::deserialize(line).unwrap();
    serde_json::to_value(question.answer_natively()).unwrap()
}

#[test]
fn directives_are_reported_with_their_reasons() {
    let mut lines = journal("recovery");
    lines.retain(|line| line["answer"]["directive"]["retry_after"].is_number());
    lines.truncate(3);
    for line in &mut lines[1..] {
        line["answer"]["directive"] = json!("give_up");
        line["answer"]["reason"] = json!("attempts_exhausted");
    }
    let report = replayed(built_in(), None, &lines);
    let [group] = &report.differences[..] else { panic!("{report:?}") };
    assert_eq!((group.before.as_str(), group.after.as_str()), ("give_up (attempts_exhausted)", "retry_after (retryable)"));
    assert_eq!((group.count, group.example.to_string()), (2, "j:2".to_owned()));
    assert_eq!((report.retries.before, report.retries.after), (1, 3));
}

#[test]
fn lines_that_are_no_entries_are_counted_and_the_first_is_reported() {
    let mut replay = Replay::new(built_in(), None);
    replay.begin("one");
    for line in ["", "  ", "{\"lost\": 3}", "{\"at\":", "\u{0}", "[[[[", "{\"lost\": 4}"] {
        replay.line(line.as_bytes());
    }
    replay.begin("two");
    replay.line(&[0xff, 0xfe]);
    replay.unreadable_line("too long");
    replay.line("[".repeat(100_000).as_bytes());
    let report = replay.report();
    assert_eq!((report.entries, report.lost, report.unreadable.lines), (0, 7, 6));
    let first = report.unreadable.first.unwrap();
    assert_eq!(first.place.to_string(), "one:4");
    assert!(first.reason.contains("EOF"), "{}", first.reason);
    assert_eq!(report.fuel_per_decision.after, None);
}

#[test]
fn a_breakers_memory_is_read_by_its_own_layout_only() {
    let lines: Vec<_> = journal("breaker")
        .into_iter()
        .filter(|line| line["arguments"]["state"]["memory"].as_array().is_some_and(|memory| !memory.is_empty()))
        .collect();
    assert!(lines.len() > 10, "{}", lines.len());
    let other: Vec<_> = lines
        .iter()
        .map(|line| {
            let mut line = line.clone();
            line["layout"] = json!(77);
            line["answer"]["state"]["memory"] = json!([1, 2, 3]);
            line
        })
        .collect();
    assert_eq!(replayed(built_in(), None, &lines).differing, 0);
    // Asked with empty memory, and memories of answers are not compared.
    let without = other.iter().filter(|line| {
        let mut question: upright_core::policy::Question = serde::Deserialize::deserialize(*line).unwrap();
        question.breaker_state_mut().unwrap().memory.clear();
        let strip = |mut answer: Value| {
            answer["state"]["memory"] = json!([]);
            answer
        };
        strip(serde_json::to_value(question.answer_natively()).unwrap()) != strip(line["answer"].clone())
    });
    assert_eq!(replayed(built_in(), None, &other).differing, without.count() as u64);
}

#[test]
fn a_replayer_refuses_bytes_or_a_file_that_are_no_policy() {
    assert!(matches!(Replayer::from_bytes(b"no"), Err(PolicyError::NotAComponent { .. })));
    assert!(matches!(Replayer::from_file("/nowhere/policy.wasm"), Err(PolicyError::Read { .. })));
}
