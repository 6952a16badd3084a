//! What a failure means (`wit/classifier.wit`).
//!
//! Status alone is wrong in both directions: Ollama sends permanent faults as 500 and transient ones as 400. So the classifier is an ordered
//! table of small named rules over all the facts ([`rules::RULES`]), most specific first; the first that matches decides.
//! [`text`] finds every rule's phrases in one pass over the message.

pub mod rules;
pub mod text;
mod vocabulary;

use crate::types::{Classification, Fault, FaultKind};
use alloc::string::String;
use rules::{RULES, Rule, RuleSet, Said};

/// The kinds that error numbers stand for (Linux numbering), so that a host that could tell no more than the number is understood.
const ERRNO_KINDS: [(i32, FaultKind); 24] = [
    (1, FaultKind::PermissionDenied),    // EPERM
    (2, FaultKind::NotFound),            // ENOENT
    (11, FaultKind::Timeout),            // EAGAIN: what a socket says when its read timed out
    (12, FaultKind::OutOfMemory),        // ENOMEM
    (13, FaultKind::PermissionDenied),   // EACCES
    (22, FaultKind::InvalidInput),       // EINVAL
    (23, FaultKind::TooManyOpenFiles),   // ENFILE
    (24, FaultKind::TooManyOpenFiles),   // EMFILE
    (28, FaultKind::DiskFull),           // ENOSPC
    (30, FaultKind::PermissionDenied),   // EROFS
    (32, FaultKind::ConnectionReset),    // EPIPE
    (100, FaultKind::Unreachable),       // ENETDOWN
    (101, FaultKind::Unreachable),       // ENETUNREACH
    (102, FaultKind::ConnectionReset),   // ENETRESET
    (103, FaultKind::ConnectionReset),   // ECONNABORTED
    (104, FaultKind::ConnectionReset),   // ECONNRESET
    (107, FaultKind::ConnectionReset),   // ENOTCONN
    (108, FaultKind::ConnectionReset),   // ESHUTDOWN
    (110, FaultKind::Timeout),           // ETIMEDOUT
    (111, FaultKind::ConnectionRefused), // ECONNREFUSED
    (112, FaultKind::Unreachable),       // EHOSTDOWN
    (113, FaultKind::Unreachable),       // EHOSTUNREACH
    (122, FaultKind::DiskFull),          // EDQUOT
    (125, FaultKind::Cancelled),         // ECANCELED
];

/// The kind that an error number stands for, where it stands for one.
pub fn kind_of_errno(errno: i32) -> Option<FaultKind> {
    ERRNO_KINDS.iter().find(|(number, _)| *number == errno).map(|(_, kind)| *kind)
}

/// The facts that rules look at, gathered once.
struct Facts<'a> {
    kind: FaultKind,
    status: Option<u16>,
    fault: &'a Fault,
    said: RuleSet,
}

/// Whether the text may decide: where the kind is a fact by itself, what the text mentions is beside the point.
fn words_count(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Other | FaultKind::HttpStatus | FaultKind::StreamError | FaultKind::InvalidAnswer)
}

impl<'a> Facts<'a> {
    fn gather(fault: &'a Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::Other => fault.errno.and_then(kind_of_errno).unwrap_or(FaultKind::Other),
            kind => kind,
        };
        let found = if words_count(kind) { text::find(&fault.message) } else { text::Found::default() };
        // A status in the text counts only where nothing structured contradicts it.
        let status = fault.status.or(if kind == FaultKind::Other { found.status } else { None });
        Self { kind, status, fault, said: found.rules }
    }

    /// Whether a rule fits of which kind and phrases do.
    fn fits(&self, rule: &Rule) -> bool {
        rule.statuses.is_none_or(|ranges| self.status.is_some_and(|status| ranges.iter().any(|range| range.contains(&status))))
            && rule.endpoints.is_none_or(|endpoints| endpoints.contains(&self.fault.endpoint))
            && (!matches!(rule.said, Said::Nothing) || text::is_blank(&self.fault.message))
    }

    fn rule(&self) -> &'static Rule {
        let fitting = rules::candidates(self.kind, self.said).indexes().find(|index| self.fits(&RULES[*index]));
        fitting.map_or(&rules::UNKNOWN, |index| &RULES[index])
    }
}

/// Never fails: what no rule knows is `unknown`.
pub fn classify(fault: &Fault) -> Classification {
    let rule = Facts::gather(fault).rule();
    let meaning = &rule.meaning;
    Classification {
        category: meaning.category,
        severity: meaning.severity,
        retryable: meaning.retries != rules::Retries::Never,
        retry_limit: match meaning.retries {
            rules::Retries::AtMost(limit) => Some(limit),
            _ => None,
        },
        counted: meaning.counted,
        model_specific: meaning.model_specific,
        action: meaning.action,
        rule: String::from(rule.name),
    }
}

#[cfg(test)]
mod tests;
