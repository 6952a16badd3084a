//! Questions with expected answers: the conformance vectors, and an author's cases.

use crate::exit::{Exit, Failure};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use upright_conformance::Vector;
use upright_core::policy::{Function, Question};

const LONGEST_FILE: u64 = 64 << 20;

/// Generated here: the generator is smaller than its output.
pub(super) fn vectors() -> Result<Vec<(Vector, Question)>, Failure> {
    let failed = |error: String| Failure::new(Exit::Failed, format!("the conformance vectors cannot be generated: {error}"));
    let vectors = upright_conformance::generate::vectors().map_err(|error| failed(error.to_string()))?;
    let with_question = |vector: Vector| {
        let question = question(&vector.function, &vector.arguments).map_err(|error| failed(format!("{}: {error}", vector.name)))?;
        Ok((vector, question))
    };
    vectors.into_iter().map(with_question).collect()
}

fn question(function: &str, arguments: &Value) -> Result<Question, serde_json::Error> {
    Function::deserialize(json!(function))?.read_arguments(arguments)
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) function: String,
    pub(super) question: Question,
    pub(super) expected: Expected,
}

#[derive(Debug)]
pub(super) enum Expected {
    /// The whole answer, to the bit.
    Answer(Value),
    /// Some fields of the answer.
    Part(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    function: String,
    arguments: Value,
    // An answer may be `null`.
    #[serde(default, deserialize_with = "present")]
    answer: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    expect: Option<Value>,
}

fn present<'a, D: serde::Deserializer<'a>>(given: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(given).map(Some)
}

pub(super) fn read(path: &Path) -> Result<Vec<Case>, Failure> {
    let wrong = |what: String| Failure::bad_input(format!("{}{what}", path.display()));
    let file = std::fs::metadata(path).map_err(|error| wrong(format!(": {error}; expected a file of cases")))?;
    if !file.is_file() || file.len() > LONGEST_FILE {
        return Err(wrong(format!(" is no file of at most {LONGEST_FILE} bytes; expected JSON Lines, a case each")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!(": {error}; expected JSON Lines, a case each")))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let cases = lines.map(|(index, line)| case(line).map_err(|what| wrong(format!(", line {}: {what}", index + 1))));
    cases.collect()
}

fn case(line: &str) -> Result<Case, String> {
    let Line { name, function, arguments, answer, expect } = serde_json::from_str(line)
        .map_err(|error| format!("{error}; expected {{\"name\", \"function\", \"arguments\", and \"answer\" or \"expect\"}}"))?;
    let expected = match (answer, expect) {
        (Some(answer), None) => Expected::Answer(answer),
        (None, Some(part)) => Expected::Part(part),
        _ => return Err(format!("{name:?} has both or neither of \"answer\" and \"expect\"; expected one of them")),
    };
    let question =
        question(&function, &arguments).map_err(|error| format!("{name:?}: {error}; expected what `upright policy eval --list` shows"))?;
    Ok(Case { name, function, question, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = r#""name":"n","function":"degradation.next_model","arguments":{"current":"a","chain":["a"]}"#;

    #[test]
    fn a_case_expects_an_answer_or_a_part_of_one_and_not_both() {
        assert!(matches!(case(&format!("{{{ASKED},\"answer\":null}}")).unwrap().expected, Expected::Answer(Value::Null)));
        assert!(matches!(case(&format!("{{{ASKED},\"expect\":{{\"a\":1}}}}")).unwrap().expected, Expected::Part(_)));
        for wrong in [format!("{{{ASKED}}}"), format!("{{{ASKED},\"answer\":1,\"expect\":1}}")] {
            assert!(case(&wrong).unwrap_err().contains("expected one of them"));
        }
    }

    #[test]
    fn an_error_names_the_argument_that_does_not_fit() {
        for wrong in [
            r#"{"name":"n","function":"nothing.known","arguments":{},"answer":1}"#,
            r#"{"name":"n","function":"backoff.delay","arguments":{"attempt":1},"answer":1}"#,
            r#"{"name":"n","function":"metadata.describe","arguments":{"more":1},"answer":1}"#,
        ] {
            let error = case(wrong).unwrap_err();
            assert!(error.contains("\"n\"") && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn every_vector_is_a_question() {
        assert!(vectors().unwrap().len() > 2000);
    }
}
