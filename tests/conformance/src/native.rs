//! `upright-logic`, asked in JSON: the native twin of the host's evaluator of components.
//!
//! The evaluator takes types and names from what a component declares. Here they come from Rust's types and from one table, so that the two
//! agree only if the contract, the shim and the logic do.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use upright_logic::degradation::WorkflowEntry;
use upright_logic::{backoff, breaker, classifier, degradation, health, metadata, recovery, settings};

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeError {
    /// There is no such function.
    #[error("no function {name:?}; expected one of: {known}")]
    UnknownFunction {
        /// What was asked for.
        name: String,
        /// The functions that there are.
        known: String,
    },
    /// An argument is missing.
    #[error("{name}: missing")]
    Missing {
        /// The argument.
        name: &'static str,
    },
    /// An argument does not have the shape that the function takes.
    #[error("{name}: {source}")]
    Argument {
        /// The argument.
        name: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer cannot be written in JSON.
    #[error("the answer: {0}")]
    Answer(serde_json::Error),
}

type Answer = Result<Value, NativeError>;
type Ask = fn(&Value) -> Answer;

/// Every function of the world, and how it is asked.
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

/// The names of all functions.
pub fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// Asks `function` (`interface.function`) with an object of arguments by name.
///
/// # Errors
/// [`NativeError`] names the function or the argument that does not fit.
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
