//! Classifies failures (`wit/classifier.wit`).
//!
//! Status alone misleads: Ollama sends permanent faults as 500 and transient ones as 400. The first match in an ordered
//! table of rules ([`rules::RULES`]) decides.

mod bytes;
mod phrases;
pub mod rules;
pub mod text;
mod vocabulary;

use crate::types::{Classification, ErrorCategory, Fault, FaultKind, SuggestedAction};
use alloc::string::String;
use rules::{CONDITIONS, Conditions, NO_PHRASE, NOTHING_KNOWN};
use text::Found;

/// Linux error numbers, for hosts without other facts.
const ERRNO_KINDS: [(i32, FaultKind); 26] = [
    (1, FaultKind::PermissionDenied),    // EPERM
    (2, FaultKind::NotFound),            // ENOENT
    (11, FaultKind::Timeout),            // EAGAIN: a socket read timed out
    (12, FaultKind::OutOfMemory),        // ENOMEM
    (13, FaultKind::PermissionDenied),   // EACCES
    (16, FaultKind::InUse),              // EBUSY
    (22, FaultKind::InvalidInput),       // EINVAL
    (23, FaultKind::TooManyOpenFiles),   // ENFILE
    (24, FaultKind::TooManyOpenFiles),   // EMFILE
    (26, FaultKind::InUse),              // ETXTBSY
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

/// Returns the kind of a Linux error number, if known.
pub fn kind_of_errno(errno: i32) -> Option<FaultKind> {
    ERRNO_KINDS.iter().find(|(number, _)| *number == errno).map(|(_, kind)| *kind)
}

struct Facts<'a> {
    kind: FaultKind,
    status: Option<u16>,
    fault: &'a Fault,
    found: Found,
}

/// Whether text may decide for this kind.
fn words_count(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Other | FaultKind::HttpStatus | FaultKind::StreamError | FaultKind::InvalidAnswer)
}

impl<'a> Facts<'a> {
    fn gather(fault: &'a Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::Other => fault.errno.and_then(kind_of_errno).unwrap_or(FaultKind::Other),
            kind => kind,
        };
        let mut found = Found::default();
        if words_count(kind) {
            text::find(&fault.message, &mut found);
        }
        // Structured facts outrank a status in the text.
        let mut status = fault.status.or(if kind == FaultKind::Other { found.status } else { None });
        if let Some(labels) = &fault.labels {
            for label in [&labels.error_type, &labels.error_code].into_iter().flatten() {
                text::find(label, &mut found);
            }
            // In a stream under 200, only the code tells a status.
            status = status.filter(|status| *status >= 300).or(labels.error_code.as_deref().and_then(text::error_status)).or(status);
        }
        Self { kind, status, fault, found }
    }

    fn fits(&self, rule: &Conditions) -> bool {
        (!rule.points || self.fault.points_to.is_some())
            && (rule.also == NO_PHRASE || self.found.has_second(rule.also))
            && !self.found.has_second(rule.unless)
            && (!rule.blank || text::is_blank(&self.fault.message))
    }

    fn rule(&self) -> &'static Conditions {
        let candidates = rules::candidates(self.kind, self.fault.endpoint, self.status, self.found.said);
        candidates.indexes().map(|index| &CONDITIONS[index]).find(|rule| self.fits(rule)).unwrap_or(&NOTHING_KNOWN)
    }
}

/// Classifies a failure; `unknown` if no rule matches.
pub fn classify(fault: &Fault) -> Classification {
    let rule = Facts::gather(fault).rule();
    let meaning = &rule.meaning;
    let mut classification = Classification {
        category: meaning.category,
        severity: meaning.severity,
        retryable: meaning.retries != rules::Retries::Never,
        retry_limit: match meaning.retries {
            rules::Retries::AtMost(limit) => Some(limit.into()),
            _ => None,
        },
        counted: meaning.counted,
        model_specific: meaning.model_specific,
        host_specific: meaning.host_specific,
        action: meaning.action,
        rule: String::from(rule.name),
    };
    if let Some(should_retry) = fault.should_retry {
        obey(&mut classification, should_retry);
    }
    classification
}

/// Applies `x-should-retry`, as the server vendor's own clients do.
fn obey(classification: &mut Classification, should_retry: bool) {
    if !should_retry {
        (classification.retryable, classification.retry_limit) = (false, None);
    } else if classification.action != SuggestedAction::Nothing {
        classification.retryable = true;
        classification.retry_limit = classification.retry_limit.filter(|limit| *limit > 0);
        if classification.category == ErrorCategory::Permanent {
            classification.category = ErrorCategory::Transient;
        }
    }
}

#[cfg(test)]
mod tests;
