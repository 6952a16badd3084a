//! Checks the committed vectors against logic and component.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use upright_conformance::compare::difference;
use upright_conformance::{Vector, all, folder, generate, native};
use upright_operations::eval::Evaluator;
use upright_test_kit::folder::Folder;
use upright_test_kit::patient;

fn world() -> BTreeSet<String> {
    Evaluator::new(patient::built_in()).functions().into_iter().map(|shape| shape.function).collect()
}

fn differing(vectors: &[Vector], mut ask: impl FnMut(&str, &Value) -> Result<Value, String>) -> Vec<String> {
    let differs = |vector: &Vector| {
        let how = match ask(&vector.function, &vector.arguments) {
            Ok(answer) => difference(vector, &answer)?.to_string(),
            Err(error) => format!("no answer: {error}"),
        };
        Some(format!("{} {:?}: {how}", vector.function, vector.name))
    };
    vectors.iter().filter_map(differs).collect()
}

fn assert_none(differing: &[String]) {
    let shown = differing.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(differing.is_empty(), "{} vectors are answered differently, first:\n{shown}", differing.len());
}

#[test]
fn there_are_thousands_of_vectors_over_every_function_of_the_world() {
    let vectors = all();
    assert!(vectors.len() >= 2000, "only {}", vectors.len());
    let functions: BTreeSet<String> = vectors.iter().map(|vector| vector.function.clone()).collect();
    assert_eq!(functions, world());
    assert_eq!(functions, native::functions().map(str::to_owned).collect());
    let mut names = BTreeSet::new();
    for vector in &vectors {
        assert!(names.insert((&vector.function, &vector.name)), "{} {:?} stands twice", vector.function, vector.name);
    }
}

#[test]
fn native_answers_equal_the_committed_answers() {
    assert_none(&differing(&all(), |function, arguments| native::eval(function, arguments).map_err(|error| error.to_string())));
}

#[test]
fn the_component_answers_every_vector_as_upright_logic_does_to_the_bit() {
    let mut component = Evaluator::new(patient::built_in());
    let mut vectors = all();
    // Native answers, not the files': this test is about the component alone.
    for vector in &mut vectors {
        vector.answer = native::eval(&vector.function, &vector.arguments).unwrap();
    }
    assert_none(&differing(&vectors, |function, arguments| component.eval(function, arguments).map_err(|error| error.to_string())));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for vector in &vectors {
        *counts.entry(&vector.function).or_default() += 1;
    }
    assert!(vectors.len() >= 2000, "only {} vectors", vectors.len());
    assert_eq!(counts.keys().map(|function| (*function).to_owned()).collect::<BTreeSet<_>>(), world());
    println!("compared {} vectors with the component: {counts:?}", vectors.len());
}

#[test]
fn the_committed_vectors_are_what_the_sources_give() {
    if let Err(error) = generate::check(folder()) {
        panic!("{error}");
    }
}

#[test]
fn the_vectors_stay_small() {
    let bytes: u64 = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    // About 1,500 phrases have a vector each.
    assert!(bytes < 2_500_000, "{bytes} bytes");
}

#[test]
fn the_comparison_finds_a_changed_answer_of_each_function() {
    let vectors = all();
    let ask = |function: &str, arguments: &Value| native::eval(function, arguments).map_err(|error| error.to_string());
    for function in native::functions() {
        let mut vector = vectors.iter().rev().find(|vector| vector.function == function).unwrap().clone();
        assert_eq!(difference(&vector, &ask(&vector.function, &vector.arguments).unwrap()), None);
        spoil(&mut vector.answer);
        let found = differing(std::slice::from_ref(&vector), ask);
        assert_eq!(found.len(), 1, "{function}: the change to {} was not seen", vector.answer);
    }
}

fn spoil(answer: &mut Value) {
    match answer {
        Value::Object(fields) => spoil(fields.values_mut().next().unwrap()),
        Value::Array(items) if !items.is_empty() => spoil(&mut items[0]),
        Value::Array(items) => items.push(Value::Null),
        Value::Bool(truth) => *truth = !*truth,
        Value::String(text) => text.push('x'),
        Value::Null => *answer = json!(0),
        Value::Number(number) if number.is_f64() => *answer = json!(f64::from_bits(number.as_f64().unwrap().to_bits() ^ 1)),
        Value::Number(number) => *answer = json!(number.as_u64().unwrap() ^ 1),
    }
}

#[test]
fn the_last_bit_the_sign_of_zero_the_kind_of_a_number_and_the_order_of_keys_count() {
    let vector = |answer: Value| Vector { name: String::new(), function: String::new(), arguments: json!({}), answer };
    let differ = [
        (json!({"a": [0.3]}), json!({"a": [0.1 + 0.2]}), ".a[0]"),
        (json!(0.0), json!(-0.0), ""),
        (json!(1), json!(1.0), ""),
        (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), ""),
        (json!({"a": null}), json!({}), ""),
        (json!([1]), json!([1, 2]), ""),
        (json!(u64::MAX), json!(u64::MAX - 1), ""),
    ];
    for (expected, found, at) in differ {
        let difference = difference(&vector(expected.clone()), &found);
        assert_eq!(difference.map(|difference| difference.at).as_deref(), Some(at), "{expected} and {found}");
    }
    assert_eq!(difference(&vector(json!({"a": [0.1, null, "x"]})), &json!({"a": [0.1, null, "x"]})), None);
}

#[test]
fn an_error_about_a_stale_file_names_the_first_vector_that_differs() {
    let scratch = Folder::new("vectors");
    generate::write(scratch.as_ref()).unwrap();
    generate::check(scratch.as_ref()).unwrap();
    let file = scratch.path("backoff.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut vector: Vector = serde_json::from_str(&lines[4]).unwrap();
    spoil(&mut vector.answer);
    lines[4] = serde_json::to_string(&vector).unwrap();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let error = generate::check(scratch.as_ref()).unwrap_err().to_string();
    assert!(error.starts_with("backoff.jsonl, line 5: backoff.delay"), "{error}");
    assert!(error.contains(&vector.name) && error.contains("expected") && error.contains("found"), "{error}");
}
