//! One decision as a line of a journal.

use super::mask::masked;
use crate::clock::nanoseconds;
use crate::types::BreakerState;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use upright_core::policy::{Answer, By, Decider, Decision, Function, Question};

/// A decision: question, answer, who answered and how fast.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Nanoseconds on the slot's clock; only differences matter.
    pub at: u64,
    /// Policy asked: `sha256:` and digest, `native` without a component, `test` for a test policy.
    pub policy: String,
    /// Source of the answer.
    pub by: By,
    /// Layout of breaker memory in question and answer.
    pub layout: u32,
    /// The question.
    #[serde(flatten)]
    pub question: Question,
    /// The answer.
    pub answer: Answer,
    /// Time to answer, in nanoseconds.
    pub nanoseconds: u64,
}

/// Content of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A decision, boxed because it is large.
    Entry(Box<Entry>),
    /// Number of decisions missing here, for a slow or full disk.
    Lost(u64),
}

impl Line {
    /// Reads a line, with members in any order; unknown ones are ignored.
    ///
    /// # Errors
    /// [`serde_json::Error`] for malformed lines.
    pub fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        match std::str::from_utf8(line) {
            // Faster than validating string by string.
            Ok(line) => serde_json::from_str(line),
            // This error names the position.
            Err(_) => serde_json::from_slice(line),
        }
    }
}

/// Masked unless `whole`.
pub(crate) fn into_entry(decision: Decision, whole: bool) -> Entry {
    let Decision { at, took, policy, by, layout, question, answer } = decision;
    let policy = match policy.as_deref().map(Decider::digest) {
        Some(Some(digest)) => format!("sha256:{digest}"),
        Some(None) => "test".to_owned(),
        None => "native".to_owned(),
    };
    let question = if whole { question } else { masked(question) };
    Entry { at, policy, by, layout, question, answer, nanoseconds: nanoseconds(took) }
}

pub(crate) fn breaker_after(answer: &mut Answer) -> Option<&mut BreakerState> {
    match answer {
        Answer::Decide(verdict) => verdict.breaker.as_mut().map(|transition| &mut transition.state),
        Answer::Step(transition) | Answer::Initial(transition) => Some(&mut transition.state),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(LineVisitor)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    At,
    Policy,
    By,
    Layout,
    Function,
    Arguments,
    Answer,
    Nanoseconds,
    Lost,
    #[serde(other)]
    Unknown,
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an entry of a journal")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Line, M::Error> {
        let (mut at, mut policy, mut by, mut layout, mut nanoseconds, mut lost) = (None, None, None, None, None, None);
        let (mut function, mut question, mut answer) = (None::<Function>, None, None);
        // Sorted members put arguments and answer before `function`, which gives their type.
        let (mut early_arguments, mut early_answer) = (None::<Value>, None::<Value>);
        while let Some(key) = map.next_key()? {
            match key {
                Key::At => at = Some(map.next_value()?),
                Key::Policy => policy = Some(map.next_value()?),
                Key::By => by = Some(map.next_value()?),
                Key::Layout => layout = Some(map.next_value()?),
                Key::Nanoseconds => nanoseconds = Some(map.next_value()?),
                Key::Lost => lost = Some(map.next_value()?),
                Key::Function => function = Some(map.next_value()?),
                Key::Arguments => match function {
                    Some(function) => question = Some(map.next_value_seed(ArgumentsOf(function))?),
                    None => early_arguments = Some(map.next_value()?),
                },
                Key::Answer => match function {
                    Some(function) => answer = Some(map.next_value_seed(AnswerOf(function))?),
                    None => early_answer = Some(map.next_value()?),
                },
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let Some(lost) = lost {
            return Ok(Line::Lost(lost));
        }
        let function = function.ok_or_else(|| M::Error::missing_field("function"))?;
        if let Some(arguments) = early_arguments {
            question = Some(function.read_arguments(arguments).map_err(M::Error::custom)?);
        }
        if let Some(early) = early_answer {
            answer = Some(function.read_answer(early).map_err(M::Error::custom)?);
        }
        Ok(Line::Entry(Box::new(Entry {
            at: at.ok_or_else(|| M::Error::missing_field("at"))?,
            policy: policy.ok_or_else(|| M::Error::missing_field("policy"))?,
            by: by.ok_or_else(|| M::Error::missing_field("by"))?,
            layout: layout.unwrap_or(upright_logic::breaker::STATE_LAYOUT),
            question: question.ok_or_else(|| M::Error::missing_field("arguments"))?,
            answer: answer.ok_or_else(|| M::Error::missing_field("answer"))?,
            nanoseconds: nanoseconds.ok_or_else(|| M::Error::missing_field("nanoseconds"))?,
        })))
    }
}

struct ArgumentsOf(Function);

impl<'de> DeserializeSeed<'de> for ArgumentsOf {
    type Value = Question;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Question, D::Error> {
        self.0.read_arguments(from)
    }
}

struct AnswerOf(Function);

impl<'de> DeserializeSeed<'de> for AnswerOf {
    type Value = Answer;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Answer, D::Error> {
        self.0.read_answer(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let question = Question::Initial { now: 9_007_199_254_740_993 };
        let answer = question.answer_natively();
        Entry { at: 7, policy: "native".into(), by: By::Native, layout: 2, question, answer, nanoseconds: 812 }
    }

    #[test]
    fn a_line_reads_as_it_was_written() {
        let text = serde_json::to_string(&entry()).unwrap();
        assert!(
            text.starts_with(r#"{"at":7,"policy":"native","by":"native","layout":2,"function":"breaker.initial","arguments":{"now":9007199254740993},"answer":{"state""#),
            "{text}"
        );
        assert!(text.ends_with(r#""nanoseconds":812}"#), "{text}");
        assert_eq!(Line::read(text.as_bytes()).unwrap(), Line::Entry(Box::new(entry())));
    }

    #[test]
    fn members_may_stand_in_any_order_and_unknown_ones_are_passed_over() {
        let Value::Object(members) = serde_json::to_value(entry()).unwrap() else { panic!() };
        let sorted: std::collections::BTreeMap<_, _> = members.into_iter().chain([("zone".into(), Value::Null)]).collect();
        let text = serde_json::to_string(&sorted).unwrap();
        assert!(text.starts_with(r#"{"answer""#));
        assert_eq!(Line::read(text.as_bytes()).unwrap(), Line::Entry(Box::new(entry())));
    }

    #[test]
    fn a_loss_is_a_line_of_its_own() {
        assert_eq!(Line::read(br#"{"lost": 12}"#).unwrap(), Line::Lost(12));
    }

    #[test]
    fn a_line_that_is_no_journal_entry_is_rejected_with_a_reason() {
        for (line, reason) in [
            ("", "EOF"),
            ("[]", "expected an entry of a journal"),
            ("{}", "missing field `function`"),
            (r#"{"function":"a.b"}"#, "unknown variant `a.b`"),
            (r#"{"function":"breaker.initial","arguments":{}}"#, "missing field `now`"),
            (r#"{"function":"breaker.initial","arguments":{"now":-1}}"#, "invalid value"),
            (
                r#"{"answer":7,"at":1,"by":"native","policy":"native","nanoseconds":1,"arguments":{"now":1},"function":"breaker.initial"}"#,
                "struct Transition",
            ),
            (r#"{"lost":"many"}"#, "invalid type"),
            ("{\"at\":1", "EOF"),
            ("\u{0}\u{1}", "expected value"),
        ] {
            let error = Line::read(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
