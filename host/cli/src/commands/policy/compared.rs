//! Finds all differences between two JSON answers.

use serde::Serialize;
use serde_json::{Number, Value};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// Empty for the answer itself.
    pub(super) path: String,
    pub(super) expected: String,
    pub(super) got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, expected, got } = self;
        write!(formatter, "answer{path}: expected {expected}, got {got}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// Only the expected fields.
    Part,
}

/// Compares to the bit.
pub(super) fn differences(expected: &Value, got: &Value, extent: Extent) -> Vec<Difference> {
    let mut found = Vec::new();
    between("", expected, got, extent, &mut found);
    found
}

fn between(path: &str, expected: &Value, got: &Value, extent: Extent, found: &mut Vec<Difference>) {
    let mut differ = |path: &str, expected: String, got: String| found.push(Difference { path: path.to_owned(), expected, got });
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, left) in left {
                let path = format!("{path}.{key}");
                match right.get(key) {
                    Some(right) => between(&path, left, right, extent, found),
                    None => found.push(Difference { path, expected: left.to_string(), got: "nothing".to_owned() }),
                }
            }
            let more = right.iter().filter(|(key, _)| extent == Extent::Whole && !left.contains_key(*key));
            found.extend(more.map(|(key, right)| Difference {
                path: format!("{path}.{key}"),
                expected: "nothing".to_owned(),
                got: right.to_string(),
            }));
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                between(&format!("{path}[{index}]"), left, right, extent, found);
            }
        }
        (Value::Number(left), Value::Number(right)) => {
            // 2 equals 2.0; the last bit and the sign of zero count.
            if bits(left) != bits(right) || (left.as_u64().is_some() && right.as_u64().is_some() && left != right) {
                differ(path, left.to_string(), right.to_string());
            }
        }
        _ if expected == got => {}
        _ => differ(path, expected.to_string(), got.to_string()),
    }
}

fn bits(number: &Number) -> Option<u64> {
    number.as_f64().map(f64::to_bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(expected: &Value, got: &Value, extent: Extent) -> Vec<String> {
        differences(expected, got, extent).into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn the_comparison_lists_each_difference_of_two_answers_by_its_path() {
        let (expected, got) = (json!({"a": {"b": [1, 2]}, "c": "x", "d": 1}), json!({"a": {"b": [1, 3]}, "c": "y", "e": null}));
        assert_eq!(paths(&expected, &got, Extent::Whole), [".a.b[1]", ".c", ".d", ".e"]);
        assert_eq!(paths(&expected, &got, Extent::Part), [".a.b[1]", ".c", ".d"]);
        assert_eq!(differences(&json!("x"), &json!("y"), Extent::Whole)[0].to_string(), "answer: expected \"x\", got \"y\"");
    }

    #[test]
    fn the_last_bit_counts_and_the_spelling_of_a_whole_number_does_not() {
        assert_eq!(paths(&json!(0.3), &json!(0.1 + 0.2), Extent::Whole), [""]);
        assert_eq!(paths(&json!(0.0), &json!(-0.0), Extent::Whole), [""]);
        assert_eq!(paths(&json!(u64::MAX), &json!(u64::MAX - 1), Extent::Whole), [""]);
        assert!(paths(&json!(2), &json!(2.0), Extent::Whole).is_empty());
    }

    #[test]
    fn lists_of_other_lengths_differ_as_a_whole() {
        assert_eq!(paths(&json!({"a": [1]}), &json!({"a": [1, 2]}), Extent::Part), [".a"]);
    }
}
