//! `upright policy eval`: calls any function of a policy.

use super::row;
use crate::commands::loading::Loading;
use crate::exit::{Exit, Failure};
use crate::output::{Output, complain};
use serde_json::{Value, json};
use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use upright_operations::eval::{EvalError, Evaluator};

const LONGEST_LINE: u64 = 16 << 20;

/// Call a function of a policy: one JSON object of arguments per input line, one answer per output line
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each answer is {\"ok\": …} or {\"error\": \"…\"}. A line that cannot be answered does not end
the command; the exit code is then 1.

Example: echo '{\"current\":\"qwen3:30b\",\"chain\":[\"qwen3:30b\",\"qwen3:8b\"]}' | upright policy eval degradation.next_model")]
pub(crate) struct EvalArguments {
    /// Function to call, such as recovery.decide
    #[arg(required_unless_present = "list")]
    function: Option<String>,

    /// WebAssembly component [default: the built-in policy]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// List the functions with the shapes of their arguments and answers
    #[arg(long)]
    list: bool,

    #[command(flatten)]
    loading: Loading,
}

pub(super) fn run(arguments: &EvalArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let mut evaluator = Evaluator::new(arguments.loading.load(arguments.policy.as_deref())?);
    let Some(function) = arguments.function.as_deref().filter(|_| !arguments.list) else {
        return list(&evaluator, output);
    };
    if let Err(error @ EvalError::UnknownFunction { .. }) = evaluator.eval(function, &Value::Null) {
        return Err(Failure::bad_input(error).into());
    }
    let (mut asked, mut failed) = (0_usize, 0_usize);
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut input).take(LONGEST_LINE + 1).read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::bad_input(format!("standard input cannot be read: {error}; expected lines of JSON")))?;
        if read == 0 {
            break;
        }
        if read as u64 > LONGEST_LINE {
            return Err(
                Failure::bad_input(format!("a line is longer than {LONGEST_LINE} bytes; expected one object of arguments a line")).into()
            );
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        asked += 1;
        let answer = match answer(&mut evaluator, function, &line) {
            Ok(answer) => json!({ "ok": answer }),
            Err(error) => {
                failed += 1;
                json!({ "error": error })
            }
        };
        output.json_line(&answer)?;
    }
    if failed == 0 {
        return Ok(Exit::Success.into());
    }
    complain(format_args!("{failed} of {asked} lines could not be answered; expected what `upright policy eval --list` shows"));
    Ok(Exit::Failed.into())
}

fn answer(evaluator: &mut Evaluator, function: &str, line: &[u8]) -> Result<Value, String> {
    let arguments: Value =
        serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}; expected an object of arguments on one line"))?;
    evaluator.eval(function, &arguments).map_err(|error| error.to_string())
}

fn list(evaluator: &Evaluator, output: &Output) -> anyhow::Result<ExitCode> {
    for shape in evaluator.functions() {
        if output.json {
            output.json_line(&shape)?;
            continue;
        }
        let (arguments, answer) = (Value::Object(shape.arguments), shape.answer);
        output.line(output.paint(anstyle::Style::new().bold(), shape.function))?;
        output.print(&format!("{}{}", row("  takes", &arguments.to_string(), output), row("  gives", &answer.to_string(), output)))?;
    }
    Ok(Exit::Success.into())
}
