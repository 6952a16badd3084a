//! Refuses a wrong command line in one line that names the value found and the value expected.

use crate::arguments::Arguments;
use crate::exit::Exit;
use crate::output::{complain, one_line};
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::error::Error as _;
use std::process::ExitCode;

pub(crate) fn answer(error: &Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // The reader of the output may have gone.
        let _ = error.print();
        return Exit::Success.into();
    }
    complain(sentence(error));
    Exit::BadInput.into()
}

fn sentence(error: &Error) -> String {
    let argument = text(error, ContextKind::InvalidArg);
    let value = text(error, ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::TooFewValues if value.is_empty() => {
            let valid = text(error, ContextKind::ValidValue);
            let what = if valid.is_empty() { "one value after it".to_owned() } else { format!("one of: {valid}") };
            format!("{argument} has no value; expected {what}")
        }
        ErrorKind::InvalidValue => format!("{argument}: {value:?}; expected one of: {}", text(error, ContextKind::ValidValue)),
        // Messages of `values` are complete.
        ErrorKind::ValueValidation => {
            let complaint = error.source().map_or_else(|| format!("{value:?} cannot be used"), ToString::to_string);
            format!("{argument}: {complaint}")
        }
        ErrorKind::UnknownArgument => format!("unknown argument {argument}; {}", likely(error, ContextKind::SuggestedArg)),
        ErrorKind::InvalidSubcommand => {
            let given = text(error, ContextKind::InvalidSubcommand);
            format!("unknown command {given:?}; expected one of: {}", commands(error))
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("a command is missing; expected one of: {}", commands(error))
        }
        ErrorKind::MissingRequiredArgument => format!("{argument} is missing; expected: {}", usage(error)),
        ErrorKind::ArgumentConflict => {
            let other = text(error, ContextKind::PriorArg);
            format!("{argument} cannot be used with {other}; expected only one of them")
        }
        ErrorKind::TooManyValues => format!("{argument}: {value:?} is an unexpected value; expected none"),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8; expected text".to_owned(),
        _ => rendered(error),
    }
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        Some(ContextValue::StyledStrs(texts)) => texts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

fn usage(error: &Error) -> String {
    const BEFORE: &str = "Usage:";
    let known = text(error, ContextKind::Usage);
    // A missing command has no usage in the error's context.
    let rendered = || error.render().to_string().lines().find(|line| line.starts_with(BEFORE)).unwrap_or_default().to_owned();
    let usage = one_line(&if known.is_empty() { rendered() } else { known });
    usage.trim_start_matches(BEFORE).trim().to_owned()
}

/// The words of the command, such as `upright policy eval`.
fn called(error: &Error) -> Vec<String> {
    let is_name = |word: &&str| word.starts_with(|letter: char| letter.is_ascii_lowercase());
    usage(error).split(' ').take_while(is_name).map(str::to_owned).collect()
}

fn likely(error: &Error, kind: ContextKind) -> String {
    let suggested = text(error, kind);
    let command = called(error).join(" ");
    let command = if command.is_empty() { "upright" } else { &command };
    if suggested.is_empty() { format!("expected one that `{command} --help` lists") } else { format!("did you mean {suggested}?") }
}

fn commands(error: &Error) -> String {
    let mut command = Arguments::command();
    for name in called(error).iter().skip(1) {
        if let Some(inner) = command.find_subcommand(name) {
            command = inner.clone();
        }
    }
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).filter(|name| name != "help").collect();
    names.join(", ")
}

/// clap's message in one line.
fn rendered(error: &Error) -> String {
    let whole = error.render().to_string();
    let lines = whole.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let words = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    format!("{}; expected: {}", words.trim_start_matches("error: "), usage(error))
}
