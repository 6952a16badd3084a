//! The 16 scenarios of the public Failover Bench (version 0.1, September 2026), in words and rules of our own.
//!
//! Its times are scaled down, and no rule depends on the speed of the machine. Each scenario has two hosts. Two rules
//! differ from the public ones: a gateway that turns to another host with the model need not ask the first one again,
//! and a line that nobody can read is an error to the client, as it is to OpenAI's own.

use crate::client::Answer;
use crate::hosts::{Hosts, MODEL, SPARE};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Conduct of the first host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Refuses the first `times` questions. `by_model`: each host with the model does so.
    Refuses { status: u16, says: &'static str, code: &'static str, pause: Option<u64>, times: usize, by_model: bool },
    /// Resets the connection of the first question, before a byte of an answer.
    Resets,
    /// Takes each question and says nothing.
    Silent,
    /// Sends the head of an answer at once, and the first token after twice the limit for it.
    Late,
    /// Closes the connection after 40 of 60 tokens.
    Cuts,
    /// Says nothing more after 20 of 60 tokens.
    FallsSilent,
    /// Sends one line that is no JSON, before the eleventh token.
    Garbles,
    /// Sends a whole answer without `[DONE]`, the last sign of OpenAI's protocol.
    LacksSentinel,
    /// Refuses all questions until its outage is over.
    Down,
}

impl Fault {
    /// Whether content comes before the fault in a stream.
    pub(crate) const fn is_after_content(self) -> bool {
        matches!(self, Self::Cuts | Self::FallsSilent | Self::Garbles)
    }
}

/// A rule beside the answer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The first host gets at most this number of questions.
    AtMost(usize),
    /// The first host gets one question, and no repetition.
    Once,
    /// A host that asked for a pause of 1 s is not asked before it is over.
    KeepsPause,
    /// Where no other host has the model, the same host is asked again.
    AsksAgain,
    /// A late host is not waited for.
    LeavesLate,
    /// The answer counts its tokens.
    CountsTokens,
    /// The answer names the model that wrote it.
    NamesModel,
    /// The error has the host's reason.
    GivesReason,
    /// The client does not get another host's refusal in place of the failure.
    HidesPrefill,
}

pub(crate) struct Scenario {
    /// Number in the public list.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) fault: Fault,
    /// Whether the second host refuses to continue an answer.
    pub(crate) refuses_prefill: bool,
    /// Whether the right end is an error.
    pub(crate) ends_as_error: bool,
    /// Breaking one of these is wrong, whatever the client gets.
    pub(crate) must: &'static [Rule],
    /// Breaking one of these spoils a whole answer.
    pub(crate) should: &'static [Rule],
}

/// Maximum time of one request. A request that takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Pause that a host asks for, seconds.
const PAUSE: u64 = 1;

const NO_LIMIT: usize = usize::MAX;

const fn refuses(status: u16, says: &'static str, code: &'static str, times: usize) -> Fault {
    Fault::Refuses { status, says, code, pause: None, times, by_model: false }
}

const fn of(name: &'static str, title: &'static str, fault: Fault, must: &'static [Rule], should: &'static [Rule]) -> Scenario {
    Scenario { name, title, fault, refuses_prefill: false, ends_as_error: false, must, should }
}

const OVERLOADED: Fault = refuses(503, "overloaded, please try again later", "overloaded", NO_LIMIT);

#[rustfmt::skip]
pub(crate) static SCENARIOS: [Scenario; 16] = [
    of("S01", "429 once, with Retry-After",
        Fault::Refuses { status: 429, says: "too many requests", code: "rate_limit_exceeded", pause: Some(PAUSE), times: 1, by_model: false },
        &[Rule::AtMost(2)], &[Rule::KeepsPause, Rule::AsksAgain]),
    of("S02", "429 for good, without Retry-After", refuses(429, "too many requests", "rate_limit_exceeded", NO_LIMIT),
        &[Rule::AtMost(4)], &[]),
    of("S03", "500 once", refuses(500, "internal error", "server_error", 1), &[], &[Rule::AsksAgain]),
    of("S04", "503 for good", OVERLOADED, &[Rule::AtMost(6)], &[]),
    of("S05", "connection reset before an answer, once", Fault::Resets, &[], &[]),
    of("S06", "no answer at all", Fault::Silent, &[], &[Rule::Once]),
    of("S07", "first token far too late", Fault::Late, &[], &[Rule::LeavesLate]),
    of("S08", "cut after 40 of 60 tokens", Fault::Cuts, &[], &[]),
    of("S09", "silent after 20 of 60 tokens", Fault::FallsSilent, &[], &[]),
    of("S10", "a line in the middle that is no JSON", Fault::Garbles, &[], &[]),
    of("S11", "whole, but without [DONE]", Fault::LacksSentinel, &[], &[Rule::Once, Rule::CountsTokens]),
    of("S12", "400: the question is too long for the model",
        Fault::Refuses {
            status: 400, says: "request (9631 tokens) exceeds the available context size (4096 tokens), try increasing it",
            code: "context_length_exceeded", pause: None, times: NO_LIMIT, by_model: true,
        },
        &[Rule::Once], &[]),
    Scenario {
        ends_as_error: true,
        ..of("S13", "400: a filter refuses the question",
            Fault::Refuses {
                status: 400, says: "the safety filter refuses this question", code: "content_policy_violation", pause: None, times: NO_LIMIT,
                by_model: true,
            },
            &[Rule::Once], &[Rule::GivesReason])
    },
    Scenario {
        refuses_prefill: true,
        ..of("S14", "cut after 40 of 60 tokens; no continuation at the other", Fault::Cuts, &[Rule::HidesPrefill], &[])
    },
    of("S15", "down for several requests, then healthy", Fault::Down, &[], &[]),
    of("S16", "503 for good: which model answers?", OVERLOADED, &[Rule::AtMost(6), Rule::NamesModel], &[Rule::CountsTokens]),
];

/// The result of a scenario, by the client's view and the first host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    /// The right end, and every rule kept.
    Met,
    /// The right end by a detour: this rule is broken.
    Partly(String),
    /// An explicit error within the limit, where a whole answer was right.
    Error(String),
    /// Damage passed off as success, a request that hangs, or a broken rule.
    Wrong(String),
}

impl Scenario {
    /// Grades the answer to the last request. `alone`: no other host has the model.
    pub(crate) fn grade(&self, answer: &Answer, hosts: &Hosts, alone: bool) -> Grade {
        let broken = |rules: &[Rule]| rules.iter().find(|rule| !self.keeps(**rule, answer, hosts, alone)).map(|rule| format!("{rule:?}"));
        let is_whole = answer.is_whole();
        if answer.hangs {
            return Grade::Wrong("hangs".to_owned());
        }
        if answer.error.is_none() && !is_whole {
            let words = answer.text.split_whitespace().count();
            return Grade::Wrong(format!("{words} tokens passed off as whole"));
        }
        if let Some(rule) = broken(self.must) {
            return Grade::Wrong(rule);
        }
        match (&answer.error, broken(self.should)) {
            (None, _) if self.ends_as_error => Grade::Partly("another model answers".to_owned()),
            (Some(error), _) if !self.ends_as_error => Grade::Error(error.clone()),
            (_, Some(rule)) => Grade::Partly(rule),
            (_, None) => Grade::Met,
        }
    }

    fn keeps(&self, rule: Rule, answer: &Answer, hosts: &Hosts, alone: bool) -> bool {
        let times = hosts.at_first.times.lock().unwrap();
        match rule {
            Rule::AtMost(most) => times.len() <= most,
            Rule::Once => times.len() == 1,
            Rule::KeepsPause => times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(PAUSE * 900)),
            Rule::AsksAgain => !alone || times.len() >= 2,
            Rule::LeavesLate => hosts.at_first.whole.load(Ordering::SeqCst) == 0,
            Rule::CountsTokens => answer.usage,
            // The other host had been asked for another model where it lacks this one.
            Rule::NamesModel => answer.error.is_some() || if alone { answer.model.contains(SPARE) } else { answer.model == MODEL },
            Rule::GivesReason => answer.error.as_ref().is_some_and(|error| error.contains("safety filter")),
            Rule::HidesPrefill => answer.error.is_none() || hosts.at_second.refused.load(Ordering::SeqCst) == 0,
        }
    }
}
