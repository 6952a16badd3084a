//! Another host for a request.

use super::{HostFacts, Incident, Reason, nothing_was_done};
use crate::breaker::Phase;
use crate::types::{Classification, SuggestedAction};

/// Index of the best other host that will do. `denied` is the reason why the same call is not repeated here.
///
/// A host that failed for this request, or whose breaker is open, is no choice. A mistake of the caller's is one on
/// every host.
pub(super) fn another(
    incident: &Incident,
    classification: &Classification,
    denied: Option<Reason>,
    will_do: impl Fn(&HostFacts) -> bool,
) -> Option<u32> {
    let choice = incident.circumstances.as_ref()?.hosts.as_ref()?;
    let is_allowed = match denied {
        // A busy or broken host says nothing about the others.
        None | Some(Reason::CircuitOpen | Reason::AttemptsExhausted | Reason::RetryAfterTooLong) => true,
        Some(Reason::ModelUnsuitable) => classification.action != SuggestedAction::ShortenPrompt,
        // Its installation is broken: no model runs there.
        Some(Reason::NotRetryable) => classification.counted,
        _ => false,
    };
    let time_left = incident.deadline.is_none_or(|deadline| incident.elapsed < deadline);
    let repeatable = incident.idempotent || nothing_was_done(&incident.failure);
    if !is_allowed || !time_left || !repeatable || incident.retry_budget == Some(0) {
        return None;
    }
    let mut hosts = choice.hosts.iter().zip(0..);
    let (_, index) = hosts.find(|(host, index)| {
        *index != choice.current && host.failed == 0 && host.breaker != Phase::Open && host.has_model != Some(false) && will_do(host)
    })?;
    Some(index)
}
