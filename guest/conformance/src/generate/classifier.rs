//! Vectors of classifications.

use super::Collected;
use super::misleading::{MISLEADING, ODD, TELLING};
use super::random::Random;
use super::values;
use crate::rows::fault_of;
use serde_json::json;
use upright_logic::classifier::kind_of_errno;
use upright_logic::classifier::rules::{RULES, Rule, Said};
use upright_logic::types::{Endpoint, Fault, FaultKind, MESSAGE_LIMIT};
use upright_simulator::ROWS;

const RANDOM: usize = 200;

/// Each status in a rule, its neighbours, and some that are no errors.
const STATUSES: [u16; 53] = [
    100, 200, 204, 301, 304, 399, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 413, 415, 418, 420, 421, 422, 423, 424, 425,
    426, 428, 429, 430, 431, 451, 498, 499, 500, 501, 502, 503, 504, 505, 507, 508, 510, 511, 512, 520, 522, 528, 529, 530, 599, 600,
];

pub(super) fn make(collected: &mut Collected, random: &mut Random) {
    let mut ask = |name: String, fault: &Fault| {
        collected.ask("classifier.classify", name, json!({ "fault": fault }));
    };
    for row in ROWS {
        for path in row.endpoints.iter().take(1) {
            ask(format!("{} on {path}", row.name), &fault_of(row, path));
        }
    }
    for rule in RULES {
        if let Said::Any(phrases) = rule.said {
            for phrase in phrases {
                ask(format!("{} by {phrase:?}", rule.name), &fitting(rule, phrase));
            }
        }
    }
    for kind in FaultKind::ALL {
        ask(format!("{kind} and nothing else"), &Fault::new(*kind, ""));
        for status in [404, 503] {
            ask(format!("{kind} with status {status}"), &Fault { status: Some(status), ..Fault::new(*kind, "") });
        }
        ask(
            format!("{kind} with an errno and a text that say otherwise"),
            &Fault { errno: Some(28), ..Fault::new(*kind, "rate limit, HTTP 404") },
        );
    }
    for status in STATUSES {
        let fault = Fault { status: Some(status), ..Fault::new(FaultKind::HttpStatus, "no words of its own") };
        ask(format!("status {status}"), &fault);
    }
    for (status, endpoint) in [403, 404, 405, 501].into_iter().flat_map(|status| [Endpoint::Chat, Endpoint::Tool].map(|end| (status, end)))
    {
        let fault = Fault { status: Some(status), endpoint, ..Fault::new(FaultKind::HttpStatus, "") };
        ask(format!("status {status} without a word on {endpoint}"), &fault);
    }
    let known = (-1..=140).filter(|errno| kind_of_errno(*errno).is_some());
    for errno in known.chain([-1, 0, 5, 17, 133, i32::MIN, i32::MAX]) {
        ask(format!("errno {errno}"), &Fault { errno: Some(errno), ..Fault::new(FaultKind::Other, "os error") });
    }
    for text in MISLEADING {
        ask(format!("misleading: {text}"), &Fault::new(FaultKind::Other, text));
    }
    for text in TELLING {
        ask(format!("telling: {text}"), &Fault::new(FaultKind::Other, text));
    }
    for text in ODD {
        ask(format!("odd: {text:?}"), &Fault::new(FaultKind::Other, text));
        ask(
            format!("odd, under status 403: {text:?}"),
            &Fault { status: Some(403), endpoint: Endpoint::Chat, ..Fault::new(FaultKind::HttpStatus, text) },
        );
    }
    for (name, text) in long() {
        ask(name.into(), &Fault::new(FaultKind::Other, text));
    }
    for seconds in [0.0, -0.0, 0.5, 120.0, 1e300, -1.0, 5e-324] {
        let fault = Fault { status: Some(429), retry_after: Some(seconds), ..Fault::new(FaultKind::HttpStatus, "") };
        ask(format!("a Retry-After of {seconds:?} s changes no meaning"), &fault);
    }
    for index in 0..RANDOM {
        ask(format!("random {index}"), &values::fault(random));
    }
}

/// A fault for this rule and phrase. An earlier rule may match first.
fn fitting(rule: &Rule, phrase: &str) -> Fault {
    let also = rule.also.first().map(|phrase| values::said(phrase)).unwrap_or_default();
    let points_to = rule.points.then(|| "https://ollama.com/connect".to_owned());
    let kind = rule.kinds.and_then(<[_]>::first).copied().unwrap_or(FaultKind::Other);
    let status = rule.statuses.and_then(<[_]>::first).map(|range| *range.start());
    let endpoint = rule.endpoints.and_then(<[_]>::first).copied().unwrap_or(Endpoint::Other);
    let status = if kind == FaultKind::HttpStatus { status.or(Some(500)) } else { status };
    let said = match (phrase.starts_with('^'), phrase.ends_with('$')) {
        (true, _) => format!("{} {also}", values::said(phrase)),
        (_, true) => format!("Error: {also} {}", values::said(phrase)),
        _ => format!("Error: {} {also}.", values::said(phrase)),
    };
    Fault { status, endpoint, points_to, ..Fault::new(kind, said) }
}

fn long() -> [(&'static str, String); 6] {
    let (head, tail) = (MESSAGE_LIMIT / 4 * 3, MESSAGE_LIMIT / 4);
    let phrase = "rate limit";
    let filled = |length: usize| "x ".repeat(length.div_ceil(2));
    [
        ("a phrase at the end of what is looked at", filled(MESSAGE_LIMIT - phrase.len()) + phrase),
        ("a phrase at the end of a text that is too long", filled(MESSAGE_LIMIT) + phrase),
        ("a phrase in the middle of a text that is too long", filled(head) + phrase + " " + &filled(tail + 32)),
        ("a phrase cut by the end of the first part", filled(head - 5) + phrase + " " + &filled(tail + 64)),
        ("letters of several bytes at the cut", "é".repeat(MESSAGE_LIMIT / 2 + 3) + " " + phrase),
        ("one word that is too long", "y".repeat(MESSAGE_LIMIT + 1)),
    ]
}
