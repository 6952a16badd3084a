//! `upright policy test`: checks a policy against the contract and its author's cases.

use super::cases::{self, Case, Expected};
use super::compared::{Difference, Extent, differences};
use super::row;
use crate::commands::loading::Loading;
use crate::exit::Exit;
use crate::output::{FAINT, Output, one_line};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use upright::Policy;
use upright::policy::PolicyError;
use upright_conformance::Vector;
use upright_core::policy::{Answer, Question};

const SHOWN: usize = 20;

/// Differs between any two policies.
const DESCRIBE: &str = "metadata.describe";

/// Test a policy with thousands of questions, and with cases of your own
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every answer must pass the host's checks, and be the same on a second instance asked in another
order. Answers that differ from the default policy's are counted; with --strict they are failures,
except for the policy's name.

A case is one line of JSON: a name, a function, its arguments, and the expected answer or some of
its fields:
  {\"name\": \"no second try\", \"function\": \"recovery.decide\", \"arguments\": {…}, \"expect\": {\"directive\": \"give_up\"}}

Example: upright policy test policy.wasm --cases cases.jsonl")]
pub(crate) struct TestArguments {
    /// WebAssembly component
    file: PathBuf,

    /// File with cases of your own, one JSON object per line
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,

    /// Treat any answer other than the default policy's as a failure
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    loading: Loading,
}

#[derive(Debug, Serialize)]
struct Failed {
    function: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
}

impl Failed {
    fn lines(&self, output: &Output) -> String {
        let Self { function, name, error, differences } = self;
        let title = format!("{} {function} {}\n", output.mark(false), one_line(&format!("{name:?}")));
        let details = error.iter().cloned().chain(differences.iter().map(ToString::to_string));
        title + &details.map(|detail| format!("       {}\n", one_line(&detail))).collect::<String>()
    }
}

#[derive(Debug, Default, Serialize)]
struct Count {
    asked: usize,
    failed: usize,
    /// Valid answers that are not the default policy's.
    differing: usize,
}

pub(crate) fn run(arguments: &TestArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let cases = arguments.cases.as_deref().map(cases::read).transpose()?.unwrap_or_default();
    // Loaded without the probe, since wrong answers are listed here.
    let policy = arguments.loading.look_at(Some(&arguments.file))?;
    let vectors = cases::vectors()?;
    let mut failures = Vec::new();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let others = backwards(&policy, &vectors);
    for ((vector, question), other) in vectors.iter().zip(others) {
        let count = counts.entry(&vector.function).or_default();
        count.asked += 1;
        let judged = judge(&policy, vector, question, other, arguments.strict);
        match judged {
            Ok(same) => count.differing += usize::from(!same),
            Err((error, differences)) => {
                count.failed += 1;
                failures.push(Failed { function: vector.function.clone(), name: vector.name.clone(), error, differences });
            }
        }
    }
    let broken: Vec<Failed> = cases.iter().filter_map(|case| hold(&policy, case)).collect();
    let ok = failures.is_empty() && broken.is_empty();
    if output.json {
        output.json_line(&json!({
            "policy": policy.description().name,
            "ok": ok,
            "functions": counts,
            "failures": failures,
            "cases": { "asked": cases.len(), "failed": broken.len(), "failures": broken },
        }))?;
    } else {
        output.print(&report(&counts, &failures, cases.len(), &broken, output))?;
    }
    Ok(if ok { Exit::Success } else { Exit::Failed }.into())
}

/// A second instance, asked in reverse order, reveals a policy with memory.
fn backwards(policy: &Policy, vectors: &[(Vector, Question)]) -> Vec<Result<Answer, PolicyError>> {
    let twin = policy.twin();
    let mut answers: Vec<_> = vectors.iter().rev().map(|(_, question)| twin.answer(question)).collect();
    answers.reverse();
    answers
}

type Judged = Result<bool, (Option<String>, Vec<Difference>)>;

/// Returns whether the answer is the default policy's, or what is wrong with it.
fn judge(policy: &Policy, vector: &Vector, question: &Question, other: Result<Answer, PolicyError>, strict: bool) -> Judged {
    let failed = |error: String| (Some(error), Vec::new());
    let answer = policy.answer(question).map_err(|error| failed(error.to_string()))?;
    let other = other.map_err(|error| failed(error.to_string()))?;
    let (got, again) = (value(&answer), value(&other));
    let otherwise = differences(&got, &again, Extent::Whole);
    if !otherwise.is_empty() {
        return Err((Some("a second instance answers differently".to_owned()), otherwise));
    }
    // Some vectors ask what no host would, so no answer to them is valid.
    if question.check(&question.answer_natively()).is_ok() {
        question.check(&answer).map_err(|error| failed(error.to_string()))?;
    }
    let differences = differences(&vector.answer, &got, Extent::Whole);
    if strict && vector.function != DESCRIBE && !differences.is_empty() {
        return Err((None, differences));
    }
    Ok(differences.is_empty())
}

fn hold(policy: &Policy, case: &Case) -> Option<Failed> {
    let Case { name, function, question, expected } = case;
    let failed = |error, differences| Some(Failed { function: function.clone(), name: name.clone(), error, differences });
    match policy.answer(question) {
        Err(error) => failed(Some(error.to_string()), Vec::new()),
        Ok(answer) => {
            if let Err(error) = question.check(&answer) {
                return failed(Some(error.to_string()), Vec::new());
            }
            let (expected, extent) = match expected {
                Expected::Answer(answer) => (answer, Extent::Whole),
                Expected::Part(part) => (part, Extent::Part),
            };
            let differences = differences(expected, &value(&answer), extent);
            if differences.is_empty() { None } else { failed(None, differences) }
        }
    }
}

pub(super) fn value(answer: &Answer) -> Value {
    // Keys are strings, so this cannot fail; infinite numbers become `null`.
    serde_json::to_value(answer).unwrap_or_default()
}

fn report(counts: &BTreeMap<&str, Count>, failures: &[Failed], asked: usize, broken: &[Failed], output: &Output) -> String {
    let shown = failures.iter().take(SHOWN).chain(broken.iter().take(SHOWN));
    let mut text: String = shown.map(|failed| failed.lines(output)).collect();
    let hidden = failures.len().saturating_sub(SHOWN) + broken.len().saturating_sub(SHOWN);
    if hidden > 0 {
        text += &output.paint(FAINT, format_args!("and {hidden} more; --json lists them all\n"));
    }
    for (function, Count { asked, failed, differing }) in counts {
        let answers = if *asked == 1 { "answer" } else { "answers" };
        let details = match (failed, differing) {
            (0, 0) => format!("{asked} {answers}, all as the default policy's"),
            (0, _) => format!("{asked} {answers}, {differing} differ from the default policy's"),
            _ => format!("{asked} {answers}, {failed} wrong, {differing} differ from the default policy's"),
        };
        text += &format!("{} {}", output.mark(*failed == 0), row(&format!("{function:<30}"), &details, output));
    }
    if asked > 0 {
        let details = format!("{asked} of your own, {} do not hold", broken.len());
        text += &format!("{} {}", output.mark(broken.is_empty()), row(&format!("{:<30}", "cases"), &details, output));
    }
    text
}
