//! How a prompt ends: a line for people; an exit code and an object for programs.

use super::Outcome;
use super::attempt::Answer;
use super::reporter::Reporter;
use crate::exit::{Exit, Failure};
use crate::output::one_line;
use serde_json::{Value, json};
use std::time::Duration;
use upright::ollama::OllamaError;
use upright::types::{Classification, MemoryOwner, Reason, SuggestedAction};
use upright::{Error, Recovered, Served};

pub(super) fn failure(error: &Error, model: &str, deadline: Option<Duration>) -> Failure {
    let exit = exit(error, deadline);
    let message = match error {
        Error::Failed(failed) => {
            let attempts = format!("{} attempt{}", failed.attempts, if failed.attempts == 1 { "" } else { "s" });
            // The deadline may have cut the last attempt under another reason.
            let reason = if exit == Exit::DeadlineExceeded { Reason::DeadlineExceeded } else { failed.reason };
            let hint = match exit {
                Exit::DeadlineExceeded => "allow more time with --deadline".to_owned(),
                Exit::NothingTried => "try again later".to_owned(),
                _ if reason == Reason::RetryAfterTooLong => "try again then, or raise --max-delay".to_owned(),
                _ => window_hint(error, deadline).unwrap_or_else(|| hint(&failed.classification, model)),
            };
            format!("{model} failed after {attempts} ({}): {}; {hint}", reason_text(reason), one_line(&failed.source.to_string()))
        }
        Error::CircuitOpen(open) => format!("{model} was not asked: {open}; try again then"),
        other => other.to_string(),
    };
    Failure::new(exit, message)
}

fn exit(error: &Error, deadline: Option<Duration>) -> Exit {
    match error {
        Error::CircuitOpen(_) => Exit::NothingTried,
        Error::Failed(failed) if failed.reason == Reason::DeadlineExceeded => Exit::DeadlineExceeded,
        Error::Failed(failed) if deadline.is_some_and(|deadline| failed.elapsed >= deadline) => Exit::DeadlineExceeded,
        Error::Failed(failed) if failed.reason == Reason::CircuitOpen => Exit::NothingTried,
        Error::Configuration(_) => Exit::BadInput,
        _ => Exit::Failed,
    }
}

fn reason_text(reason: Reason) -> String {
    let text = match reason {
        Reason::NotRetryable => "trying again cannot help",
        Reason::ModelUnsuitable => "only another model can help",
        Reason::HostUnsuitable => "only another host can help",
        Reason::WindowTooSmall => "the question does not fit the window",
        Reason::AnswerUnusable => "the model's output is unusable",
        Reason::AnswerCut => "the answer was cut",
        Reason::AttemptsExhausted => "no retries are left",
        Reason::DeadlineExceeded => "the deadline has passed",
        Reason::RetryAfterTooLong => "the server asks for a longer wait than --max-delay",
        Reason::CircuitOpen => "its circuit breaker has opened",
        other => return other.name().replace('_', " "),
    };
    text.to_owned()
}

/// `None` if nothing is known of the window.
fn window_hint(error: &Error, deadline: Option<Duration>) -> Option<String> {
    let failed = error.failure().filter(|failed| failed.reason == Reason::WindowTooSmall)?;
    let window = failed.source.downcast_ref::<OllamaError>()?.window()?.facts;
    if window.fixed {
        return Some("raise num_ctx, or leave it out and let upright choose it".to_owned());
    }
    let model_has_room = window.model_limit.is_none_or(|limit| window.needed.is_none_or(|needed| needed < limit));
    let steps = [
        (window.caller_limit.is_some() && model_has_room, "raise --max-window"),
        (deadline.is_some() && window.reading_speed.is_some() && model_has_room, "allow more time with --deadline"),
        (window.memory == MemoryOwner::ThisMachine && model_has_room, "free memory"),
        (true, "shorten the question"),
    ];
    let steps: Vec<_> = steps.into_iter().filter_map(|(helps, step)| helps.then_some(step)).collect();
    Some(format!("{}, or name a model with a larger window with --fallback", steps.join(", ")))
}

fn hint(classification: &Classification, model: &str) -> String {
    match classification.action {
        SuggestedAction::PullModel => format!("pull it with `ollama pull {model}`, or name another with --fallback"),
        SuggestedAction::RepullModel => format!("pull it again with `ollama pull {model}`, or name another with --fallback"),
        SuggestedAction::CheckService if classification.rule != "connection-refused" => {
            "check the server, its log and its address".to_owned()
        }
        SuggestedAction::CheckService => "start the server with `ollama serve`, or name its address with --host".to_owned(),
        SuggestedAction::IncreaseTimeout => "raise --load-timeout, --first-token-timeout or --between-tokens-timeout".to_owned(),
        SuggestedAction::UseSmallerModel => "use a smaller model, or name one with --fallback".to_owned(),
        SuggestedAction::Wait | SuggestedAction::Retry => "try again later, or raise --retries".to_owned(),
        // A sentence of its own, here the end of one.
        other => {
            other.text().chars().enumerate().map(|(index, letter)| if index == 0 { letter.to_ascii_lowercase() } else { letter }).collect()
        }
    }
}

pub(super) fn record(
    prompt: &str,
    requested: &str,
    elapsed: Duration,
    outcome: &Outcome,
    reporter: &Reporter<'_>,
    deadline: Option<Duration>,
) -> Value {
    let mut record = json!({ "prompt": prompt, "requested_model": requested });
    let ended = match outcome {
        Ok(recovered) => answered(recovered, requested),
        Err(error) => failed(error, reporter.model(), deadline),
    };
    if let (Value::Object(record), Value::Object(ended)) = (&mut record, ended) {
        record.extend(ended);
    }
    record["timings"]["elapsed_seconds"] = elapsed.as_secs_f64().into();
    record["events"] = reporter.events().into();
    record
}

fn answered(recovered: &Recovered<Answer>, requested: &str) -> Value {
    let Answer { text, model, done_reason, verdict, timings, first_token_seconds, .. } = &recovered.value;
    let (served, age) = match recovered.served {
        Served::Cached { age } => ("cached", Some(age.as_secs_f64())),
        Served::Live if model == requested => ("live", None),
        Served::Live | Served::Fallback => ("fallback", None),
    };
    let seconds = |nanoseconds: Option<u64>| nanoseconds.map(|span| Duration::from_nanos(span).as_secs_f64());
    json!({
        "answer": text,
        "model": model,
        "served": served,
        "age_seconds": age,
        "attempts": recovered.attempts,
        "done_reason": done_reason,
        "verdict": verdict,
        "notes": recovered.value.notes().collect::<Vec<_>>(),
        "timings": {
            "first_token_seconds": first_token_seconds,
            "load_seconds": seconds(timings.load_duration),
            "server_seconds": seconds(timings.total_duration),
            "prompt_tokens": timings.prompt_eval_count,
            "answer_tokens": timings.eval_count,
        },
        "error": null,
    })
}

fn failed(error: &Error, model: &str, deadline: Option<Duration>) -> Value {
    let described = failure(error, model, deadline);
    let failed = error.failure();
    json!({
        "answer": null,
        "model": model,
        "served": null,
        "age_seconds": null,
        "attempts": failed.map_or(0, |failed| failed.attempts),
        "done_reason": null,
        "verdict": null,
        "notes": [],
        "timings": {},
        "error": {
            "message": described.message,
            "exit_code": described.exit as u8,
            "reason": failed.map(|failed| failed.reason),
            "classification": failed.map(|failed| &failed.classification),
        },
    })
}
