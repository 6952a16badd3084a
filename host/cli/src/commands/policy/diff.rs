//! `upright policy diff`: compares the answers of two policies.

use super::cases;
use super::compared::{Extent, differences};
use super::test::value;
use crate::commands::loading::Loading;
use crate::exit::Exit;
use crate::output::{Output, one_line};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use upright::Policy;
use upright_core::policy::Question;

/// Show which conformance questions two policies answer differently, with an example for each function
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy diff old.wasm new.wasm")]
pub(crate) struct DiffArguments {
    /// First WebAssembly component
    one: PathBuf,

    /// Second WebAssembly component
    other: PathBuf,

    #[command(flatten)]
    loading: Loading,
}

#[derive(Debug, Serialize)]
struct Differing {
    function: String,
    asked: usize,
    differing: Vec<String>,
    /// The differences of the first such question.
    example: Vec<String>,
}

pub(super) fn run(arguments: &DiffArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let one = arguments.loading.load(Some(&arguments.one))?;
    let other = arguments.loading.load(Some(&arguments.other))?;
    for function in by_function(&one, &other)? {
        if output.json {
            output.json_line(&function)?;
            continue;
        }
        let Differing { function, asked, differing, example } = &function;
        output.line(format_args!("{function}: {} of {asked} answers differ", differing.len()))?;
        if let Some(name) = differing.first() {
            output.line(format_args!("    {}", one_line(&format!("{name:?}"))))?;
            for place in example {
                output.line(format_args!("        {}", one_line(place)))?;
            }
        }
    }
    Ok(Exit::Success.into())
}

/// In the order of the contract.
fn by_function(one: &Policy, other: &Policy) -> anyhow::Result<Vec<Differing>> {
    let mut functions: Vec<Differing> = Vec::new();
    for (vector, question) in cases::vectors()? {
        let places = places(one, other, &question);
        if functions.last().is_none_or(|last| last.function != vector.function)
            && !functions.iter().any(|known| known.function == vector.function)
        {
            functions.push(Differing { function: vector.function.clone(), asked: 0, differing: Vec::new(), example: Vec::new() });
        }
        if let Some(counted) = functions.iter_mut().find(|known| known.function == vector.function) {
            counted.asked += 1;
            if !places.is_empty() {
                if counted.differing.is_empty() {
                    counted.example = places;
                }
                counted.differing.push(vector.name);
            }
        }
    }
    Ok(functions)
}

fn places(one: &Policy, other: &Policy, question: &Question) -> Vec<String> {
    match (one.answer(question), other.answer(question)) {
        (Ok(one), Ok(other)) => {
            let found = differences(&value(&one), &value(&other), Extent::Whole);
            found.into_iter().map(|place| format!("answer{}: {} and {}", place.path, place.expected, place.got)).collect()
        }
        (Err(one), Err(other)) if one.to_string() == other.to_string() => Vec::new(),
        (Err(error), Ok(_)) => vec![format!("the first gives no answer: {error}")],
        (Ok(_), Err(error)) => vec![format!("the second gives no answer: {error}")],
        (Err(one), Err(other)) => vec![format!("neither gives an answer: {one}; {other}")],
    }
}
