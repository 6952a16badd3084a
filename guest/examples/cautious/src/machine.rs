//! Rules from the machine's free resources.
//!
//! Each rule changes the incident before the default policy decides, or replaces its retry by something lighter. So
//! none retries where the default policy would not.

use upright_shim::logic::classifier::classify;
use upright_shim::logic::degradation::next_model;
use upright_shim::logic::health::ResourceSnapshot;
use upright_shim::logic::recovery::{AtHand, Directive, Incident, Reason, Verdict};
use upright_shim::logic::types::{Classification, ErrorCategory, SuggestedAction};
use upright_shim::logic::{backoff::RetryConfig, types::FaultKind};

/// Maximum memory in use, percent; below a health check's 90, as the model still has to load.
pub const SHORT_MEMORY_PERCENT: f64 = 80.0;

/// Minimum free disk space, bytes.
pub const FULL_DISK_BYTES: u64 = 64 << 20;

/// Maximum number of retries after a resource failure.
pub const RESOURCE_RETRIES: u32 = 1;

/// Factor on the base delay while a model loads; `max_delay` holds.
pub const LOADING_FACTOR: f64 = 5.0;

const LOADING: [&str; 2] = ["runner-loading", "load-timed-out"];

fn memory_is_short(snapshot: &ResourceSnapshot) -> bool {
    snapshot.memory_percent().is_some_and(|percent| percent > SHORT_MEMORY_PERCENT)
}

fn disk_is_full(snapshot: &ResourceSnapshot) -> bool {
    snapshot.disk_total_bytes > 0 && snapshot.disk_available_bytes < FULL_DISK_BYTES
}

fn within_limits(incident: Incident, meaning: &Classification) -> Incident {
    let retry = if LOADING.contains(&&*meaning.rule) {
        RetryConfig { base_delay: incident.retry.base_delay * LOADING_FACTOR, ..incident.retry }
    } else if meaning.category == ErrorCategory::Resource {
        RetryConfig { max_retries: incident.retry.max_retries.min(RESOURCE_RETRIES), ..incident.retry }
    } else {
        incident.retry
    };
    if meaning.action == SuggestedAction::FreeDisk || incident.failure.kind == FaultKind::DiskFull {
        // A smaller model also needs the disk.
        let at_hand = AtHand { can_simplify: false, ..incident.at_hand };
        return Incident { retry: RetryConfig { max_retries: 0, ..retry }, models: None, at_hand, ..incident };
    }
    Incident { retry, ..incident }
}

/// The next model, assumed smaller, or a lighter workflow.
fn lighter(incident: &Incident) -> Option<Directive> {
    let model = incident.models.as_ref().and_then(|models| next_model(&models.current, &models.chain));
    model.map(Directive::SwitchModel).or(incident.at_hand.can_simplify.then_some(Directive::Simplify))
}

pub(crate) fn decide(incident: Incident, by_default: impl Fn(Incident) -> Verdict) -> Verdict {
    let meaning = classify(&incident.failure);
    let (short, full) = incident.resources.as_ref().map_or((false, false), |left| (memory_is_short(left), disk_is_full(left)));
    // A smaller model does not help if the server is unreachable.
    let lighter = if short && meaning.category != ErrorCategory::Connection { lighter(&incident) } else { None };
    let limited = within_limits(incident, &meaning);
    if full {
        // Without retries, the default policy chooses a substitute.
        let without = RetryConfig { max_retries: 0, ..limited.retry };
        let verdict = by_default(Incident { retry: without, ..limited });
        let reason = if verdict.reason == Reason::AttemptsExhausted { Reason::NotRetryable } else { verdict.reason };
        return Verdict { reason, ..verdict };
    }
    let verdict = by_default(limited);
    match (verdict.directive, lighter) {
        (Directive::RetryAfter(_), Some(directive)) => Verdict { directive, reason: Reason::ModelUnsuitable, ..verdict },
        _ => verdict,
    }
}
