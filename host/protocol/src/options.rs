//! Checks model options as Ollama knows them.

use serde_json::{Map, Number, Value};
use std::fmt;

/// Type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OptionKind {
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// `true` or `false`.
    Truth,
    /// A list of texts.
    Texts,
}

impl fmt::Display for OptionKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Texts => "a list of texts",
        })
    }
}

/// Options of Ollama 0.33 (`api/types.go`), which ignores others silently.
pub const OPTIONS: [(&str, OptionKind); 20] = [
    ("draft_num_predict", OptionKind::Whole),
    ("frequency_penalty", OptionKind::Number),
    ("main_gpu", OptionKind::Whole),
    ("min_p", OptionKind::Number),
    ("num_batch", OptionKind::Whole),
    ("num_ctx", OptionKind::Whole),
    ("num_gpu", OptionKind::Whole),
    ("num_keep", OptionKind::Whole),
    ("num_predict", OptionKind::Whole),
    ("num_thread", OptionKind::Whole),
    ("presence_penalty", OptionKind::Number),
    ("repeat_last_n", OptionKind::Whole),
    ("repeat_penalty", OptionKind::Number),
    ("seed", OptionKind::Whole),
    ("stop", OptionKind::Texts),
    ("temperature", OptionKind::Number),
    ("top_k", OptionKind::Whole),
    ("top_p", OptionKind::Number),
    ("typical_p", OptionKind::Number),
    ("use_mmap", OptionKind::Truth),
];

/// A known option has the wrong type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the option {name} cannot be {found}; expected {expected}")]
pub struct OptionError {
    /// Name of the option.
    pub name: String,
    /// Value found.
    pub found: String,
    /// Type expected.
    pub expected: OptionKind,
}

/// Type of an option; `None` if unknown to Ollama.
pub fn option_kind(name: &str) -> Option<OptionKind> {
    OPTIONS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Reads an option from command-line text; unknown ones as JSON, else as text.
///
/// # Errors
/// [`OptionError`] if the text has the wrong type.
///
/// ```
/// use upright_protocol::read_option;
///
/// assert_eq!(read_option("num_ctx", "8192").unwrap(), 8192);
/// assert_eq!(read_option("num_ctx", "many").unwrap_err().to_string(), "the option num_ctx cannot be \"many\"; expected a whole number");
/// ```
pub fn read_option(name: &str, text: &str) -> Result<Value, OptionError> {
    let Some(kind) = option_kind(name) else {
        return Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into()));
    };
    let value = match kind {
        OptionKind::Whole => text.parse().ok().map(|number: i64| number.into()),
        OptionKind::Number => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
        OptionKind::Truth => text.parse().ok().map(Value::Bool),
        OptionKind::Texts => Some(vec![text].into()),
    };
    value.ok_or_else(|| OptionError { name: name.to_owned(), found: format!("{text:?}"), expected: kind })
}

/// Checks options before sending: Ollama reports a wrong type only after loading the model. Unknown options pass.
///
/// # Errors
/// [`OptionError`] for the first wrong type.
pub fn check_options(options: &Map<String, Value>) -> Result<(), OptionError> {
    let fits = |kind, value: &Value| match kind {
        OptionKind::Whole => value.is_i64() || value.is_u64(),
        OptionKind::Number => value.is_number(),
        OptionKind::Truth => value.is_boolean(),
        OptionKind::Texts => value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string)),
    };
    match options.iter().find_map(|(name, value)| option_kind(name).filter(|kind| !fits(*kind, value)).map(|kind| (name, value, kind))) {
        None => Ok(()),
        Some((name, value, expected)) => Err(OptionError { name: name.clone(), found: value.to_string(), expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_option_reads_what_it_takes_and_refuses_the_rest() {
        for (name, kind) in OPTIONS {
            let (good, bad): (&[&str], &[&str]) = match kind {
                OptionKind::Whole => (&["0", "-1", "8192"], &["", "1.5", "1e3", "many", "true"]),
                OptionKind::Number => (&["0", "-1", "0.7", "1e3"], &["", "warm", "NaN", "inf", "true"]),
                OptionKind::Truth => (&["true", "false"], &["", "1", "yes", "TRUE"]),
                OptionKind::Texts => (&["", "END", "[1]"], &[]),
            };
            for text in good {
                let options = [(name.to_owned(), read_option(name, text).unwrap())].into_iter().collect();
                assert_eq!(check_options(&options), Ok(()), "{name}={text}");
            }
            for text in bad {
                assert_eq!(read_option(name, text).unwrap_err().expected, kind, "{name}={text}");
            }
        }
    }

    #[test]
    fn an_unknown_option_passes_as_json_or_as_a_text() {
        for (text, value) in [("1", json!(1)), ("true", json!(true)), ("[1]", json!([1])), ("plain words", json!("plain words"))] {
            assert_eq!(read_option("nonsense", text), Ok(value));
        }
    }

    #[test]
    fn a_wrong_type_is_named_with_what_it_takes() {
        let options = json!({"seed": 1, "temperature": "hot"});
        let error = check_options(options.as_object().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the option temperature cannot be \"hot\"; expected a number");
    }
}
