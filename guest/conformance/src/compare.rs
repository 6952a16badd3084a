//! Compares answers bit by bit: `0.1 + 0.2` and `0.3` look alike once rounded, and `0.0` equals `-0.0`.

use crate::Vector;
use serde_json::{Number, Value};
use std::fmt;

/// First difference of two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path within the answer; empty for the whole.
    pub at: String,
    /// The vector's answer.
    pub expected: String,
    /// The answer found.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, expected, found } = self;
        write!(formatter, "answer{at}: expected {expected}, found {found}")
    }
}

/// The first difference from the vector's answer; `None` if all bits match.
pub fn difference(vector: &Vector, found: &Value) -> Option<Difference> {
    between("", &vector.answer, found).or_else(|| {
        let (expected, found) = (vector.answer.to_string(), found.to_string());
        (expected != found).then(|| Difference { at: String::new(), expected, found })
    })
}

fn between(at: &str, expected: &Value, found: &Value) -> Option<Difference> {
    let differs = |expected: String, found: String| Some(Difference { at: at.to_owned(), expected, found });
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            if !left.keys().eq(right.keys()) {
                let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>().join(", ");
                return differs(format!("the keys {}", keys(left)), format!("the keys {}", keys(right)));
            }
            left.iter().zip(right.values()).find_map(|((key, left), right)| between(&format!("{at}.{key}"), left, right))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter().zip(right).enumerate().find_map(|(index, (left, right))| between(&format!("{at}[{index}]"), left, right))
        }
        (Value::Number(left), Value::Number(right)) if bits(left) != bits(right) || left.to_string() != right.to_string() => {
            differs(in_bits(left), in_bits(right))
        }
        _ if expected == found => None,
        _ => differs(expected.to_string(), found.to_string()),
    }
}

fn bits(number: &Number) -> Option<u64> {
    number.as_f64().map(f64::to_bits)
}

fn in_bits(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => format!("{number} (bits {:#018x})", value.to_bits()),
        _ => number.to_string(),
    }
}
