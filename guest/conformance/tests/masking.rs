//! Masked texts in a journal change no decision, over all vectors with a failure's text.

use serde::Deserialize;
use std::collections::BTreeMap;
use upright_conformance::{Vector, all};
use upright_core::policy::{Function, Question};
use upright_operations::journal::masked;

fn questions() -> Vec<(Vector, Question)> {
    let asks = |vector: &Vector| vector.function != "metadata.describe";
    let question = |vector: Vector| {
        let question = serde_json::json!({ "function": vector.function, "arguments": vector.arguments });
        (vector, Question::deserialize(question).unwrap())
    };
    all().into_iter().filter(asks).map(question).collect()
}

#[test]
fn a_masked_question_has_the_answer_of_the_whole_one() {
    let mut compared: BTreeMap<Function, usize> = BTreeMap::new();
    let mut changed = 0;
    for (vector, question) in questions() {
        let kept = masked(question.clone());
        assert_eq!(kept.answer_natively(), question.answer_natively(), "{} {:?}", vector.function, vector.name);
        *compared.entry(question.function()).or_default() += 1;
        changed += usize::from(kept != question);
    }
    assert!(compared[&Function::Decide] > 400 && compared[&Function::Classify] > 800, "{compared:?}");
    assert!(changed > 500, "only {changed} questions held anything to leave out");
    println!("compared {compared:?}, of which {changed} are not the same masked");
}

#[test]
fn masking_a_masked_question_changes_nothing() {
    for (vector, question) in questions() {
        let once = masked(question);
        assert_eq!(masked(once.clone()), once, "{} {:?}", vector.function, vector.name);
    }
}
