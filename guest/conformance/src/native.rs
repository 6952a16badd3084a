//! Asks `upright-logic` in JSON, as the evaluator asks components.
//!
//! The evaluator reads names and types from a component; here they come from Rust's types and one table. So both agree
//! only if contract, shim and logic do.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use upright_logic::degradation::WorkflowEntry;
use upright_logic::{backoff, breaker, classifier, degradation, health, metadata, recovery, settings};

/// A question cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeError {
    /// Unknown function.
    #[error("no function {name:?}; expected one of: {known}")]
    UnknownFunction {
        /// The name asked for.
        name: String,
        /// The known functions.
        known: String,
    },
    /// Missing argument.
    #[error("{name}: missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// Argument of the wrong shape.
    #[error("{name}: {source}")]
    Argument {
        /// Its name.
        name: &'static str,
        /// The reason.
        source: serde_json::Error,
    },
    /// The answer has no JSON form.
    #[error("the answer: {0}")]
    Answer(serde_json::Error),
}

type Answer = Result<Value, NativeError>;
type Ask = fn(&Value) -> Answer;

const FUNCTIONS: &[(&str, Ask)] = &[
    ("metadata.describe", |_| write(metadata::describe())),
    ("settings.recommend", |given| write(settings::recommend(read(given, "profile")?))),
    ("backoff.delay", |given| write(backoff::delay(&read(given, "config")?, read(given, "attempt")?, read(given, "random")?))),
    ("breaker.initial", |given| write(breaker::initial(read(given, "now")?))),
    ("breaker.step", |given| write(breaker::step(&read(given, "config")?, read(given, "state")?, &read(given, "observation")?))),
    ("classifier.classify", |given| write(classifier::classify(&read(given, "fault")?))),
    ("degradation.next_model", |given| {
        let (current, chain): (String, Vec<String>) = (read(given, "current")?, read(given, "chain")?);
        write(degradation::next_model(&current, &chain))
    }),
    ("degradation.simplify_workflow", |given| {
        let workflow: Vec<WorkflowEntry> = read(given, "workflow")?;
        write(degradation::simplify_workflow(&workflow))
    }),
    ("degradation.may_serve_cached", |given| {
        write(degradation::may_serve_cached(read(given, "age")?, read(given, "max_age")?, &read(given, "failure")?))
    }),
    ("health.judge", |given| write(health::judge(&read(given, "snapshot")?, &read(given, "thresholds")?))),
    ("recovery.decide", |given| write(recovery::decide(read(given, "incident")?))),
];

/// Names of all functions.
pub fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// Asks `function` (`interface.function`) with an object of named arguments.
///
/// # Errors
/// [`NativeError`] with the function or argument at fault.
pub fn eval(function: &str, arguments: &Value) -> Result<Value, NativeError> {
    let (_, ask) = FUNCTIONS
        .iter()
        .find(|(name, _)| *name == function)
        .ok_or_else(|| NativeError::UnknownFunction { name: function.to_owned(), known: functions().collect::<Vec<_>>().join(", ") })?;
    ask(arguments)
}

fn read<T: DeserializeOwned>(arguments: &Value, name: &'static str) -> Result<T, NativeError> {
    let value = arguments.get(name).ok_or(NativeError::Missing { name })?;
    T::deserialize(value).map_err(|source| NativeError::Argument { name, source })
}

fn write(answer: impl Serialize) -> Answer {
    serde_json::to_value(answer).map_err(NativeError::Answer)
}
