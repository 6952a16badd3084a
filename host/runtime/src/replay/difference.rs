//! Groups differing answers by the part that matters most: directive and reason, delay, classification, breaker.

use crate::PolicyError;
use crate::types::*;
use std::borrow::Cow;
use std::fmt;
use upright_core::policy::Answer;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) before: Cow<'static, str>,
    pub(super) after: Cow<'static, str>,
}

fn difference(what: &'static str, before: impl Into<Cow<'static, str>>, after: impl Into<Cow<'static, str>>) -> Difference {
    Difference { what, before: before.into(), after: after.into() }
}

pub(super) fn between(before: &Answer, after: &Answer) -> Option<Difference> {
    if before == after {
        return None;
    }
    Some(match (before, after) {
        (Answer::Decide(before), Answer::Decide(after)) => of_verdicts(before, after),
        (Answer::Step(before), Answer::Step(after)) | (Answer::Initial(before), Answer::Initial(after)) => of_transitions(before, after),
        (Answer::Classify(before), Answer::Classify(after)) => of_classifications(before, after),
        (Answer::Delay(before), Answer::Delay(after)) => of_numbers("delay", "", *before, *after),
        (Answer::NextModel(before), Answer::NextModel(after)) => difference("model", model(*before), model(*after)),
        (Answer::MayServeCached(before), Answer::MayServeCached(after)) => difference("may_serve", before.to_string(), after.to_string()),
        (Answer::SimplifyWorkflow(before), Answer::SimplifyWorkflow(after)) => {
            let edits = |edits: &[WorkflowEdit]| format!("{} edits", edits.len());
            difference("edits", edits(before), edits(after))
        }
        (Answer::Judge(before), Answer::Judge(after)) => {
            let healthy = |judgement: &Judgement| if judgement.healthy { "healthy" } else { "unhealthy" };
            difference("judgement", healthy(before), healthy(after))
        }
        _ => difference("answer", "this", "another"),
    })
}

pub(super) fn no_answer(error: &PolicyError) -> Difference {
    let how = match error {
        PolicyError::TimedOut { .. } => "took too long",
        PolicyError::OutOfMemory { .. } => "out of memory",
        PolicyError::Nonsense { .. } => "nonsense",
        _ => "trapped",
    };
    difference("no_answer", "answered", how)
}

fn model(index: Option<u32>) -> &'static str {
    if index.is_some() { "a model" } else { "none" }
}

fn named<T: fmt::Display>(what: &'static str, before: T, after: T) -> Difference {
    difference(what, before.to_string(), after.to_string())
}

fn of_numbers(what: &'static str, of: &'static str, before: f64, after: f64) -> Difference {
    let than = if after > before { "longer" } else { "shorter" };
    if of.is_empty() { difference(what, "a delay", than) } else { difference(what, of, format!("{of}, {than}")) }
}

fn directive(directive: Directive) -> &'static str {
    match directive {
        Directive::RetryAfter(_) => "retry_after",
        Directive::AskAgain => "ask_again",
        Directive::SwitchModel(_) => "switch_model",
        Directive::SwitchHost(_) => "switch_host",
        Directive::EnlargeWindow(_) => "enlarge_window",
        Directive::Replay(_) => "replay",
        Directive::ContinueAnswer(_) => "continue_answer",
        Directive::RestartAnswer(_) => "restart_answer",
        Directive::Accept => "accept",
        Directive::Simplify => "simplify",
        Directive::ServeCached => "serve_cached",
        Directive::UseFallback => "use_fallback",
        Directive::GiveUp => "give_up",
    }
}

fn of_verdicts(before: &Verdict, after: &Verdict) -> Difference {
    let (from, to) = (directive(before.directive), directive(after.directive));
    if from != to || before.reason != after.reason {
        return difference("directive", format!("{from} ({})", before.reason), format!("{to} ({})", after.reason));
    }
    match (before.directive, after.directive) {
        (Directive::RetryAfter(before), Directive::RetryAfter(after)) if before != after => {
            return of_numbers("delay", "retry_after", before, after);
        }
        (Directive::SwitchModel(before), Directive::SwitchModel(after)) if before != after => {
            return difference("model", "switch_model", "switch_model, another");
        }
        (Directive::EnlargeWindow(before), Directive::EnlargeWindow(after)) if before != after => {
            return of_numbers("window", "enlarge_window", before.into(), after.into());
        }
        (before, after) if before != after => return difference("host", from, format!("{to}, another")),
        _ => {}
    }
    if before.classification != after.classification {
        return of_classifications(&before.classification, &after.classification);
    }
    match (&before.breaker, &after.breaker) {
        (Some(before), Some(after)) => of_transitions(before, after),
        (before, after) => named("breaker", before.is_some(), after.is_some()),
    }
}

fn of_classifications(before: &Classification, after: &Classification) -> Difference {
    if before.category != after.category {
        named("category", before.category, after.category)
    } else if before.retryable != after.retryable {
        named("retryable", before.retryable, after.retryable)
    } else if before.retry_limit != after.retry_limit {
        let limit = |limit: Option<u32>| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
        difference("retry_limit", limit(before.retry_limit), limit(after.retry_limit))
    } else if before.counted != after.counted {
        named("counted", before.counted, after.counted)
    } else if before.model_specific != after.model_specific {
        named("model_specific", before.model_specific, after.model_specific)
    } else if before.severity != after.severity {
        named("severity", before.severity, after.severity)
    } else if before.action != after.action {
        difference("action", before.action.name(), after.action.name())
    } else {
        difference("rule", before.rule.clone(), after.rule.clone())
    }
}

fn of_transitions(before: &Transition, after: &Transition) -> Difference {
    let admission = |transition: &Transition| match transition.admission {
        Admission::All => "all",
        Admission::NoneUntil(_) => "none_until",
        Admission::Probes(_) => "probes",
    };
    if before.state.phase != after.state.phase {
        return named("breaker_phase", before.state.phase, after.state.phase);
    }
    if let (Admission::NoneUntil(from), Admission::NoneUntil(to)) = (before.admission, after.admission)
        && from != to
    {
        return difference("breaker_admission", "none_until", if to > from { "none_until, later" } else { "none_until, earlier" });
    }
    if before.admission != after.admission {
        return difference("breaker_admission", admission(before), format!("{}, another", admission(after)));
    }
    difference("breaker_state", before.state.phase.to_string(), format!("{}, other counts", after.state.phase))
}
