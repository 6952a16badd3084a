//! Copies of questions that hold no more text than a policy looks at: what waits to be written must not be without bounds.

use crate::types::{ErrorLabels, Fault, Incident, MESSAGE_LIMIT};

pub(crate) fn copy(incident: &Incident) -> Incident {
    // Each field by name: a new one that holds text must be bounded here too.
    let Incident { failure, attempt, elapsed, deadline, idempotent, retry_budget, retry, random, now, guard, models, .. } = incident;
    let Incident { at_hand, resources, circumstances, .. } = incident;
    Incident {
        failure: copy_of_fault(failure),
        attempt: *attempt,
        elapsed: *elapsed,
        deadline: *deadline,
        idempotent: *idempotent,
        retry_budget: *retry_budget,
        retry: *retry,
        random: *random,
        now: *now,
        guard: guard.clone(),
        models: models.clone(),
        at_hand: *at_hand,
        resources: *resources,
        circumstances: circumstances.clone(),
    }
}

pub(crate) fn copy_of_fault(fault: &Fault) -> Fault {
    let Fault { kind, status, errno, endpoint, message, labels, retry_after, should_retry, points_to } = fault;
    let bounded = |text: &String| if text.len() > MESSAGE_LIMIT { crate::fault::bounded(text) } else { text.clone() };
    let labels = labels.as_ref().map(|ErrorLabels { error_type, error_code }| ErrorLabels {
        error_type: error_type.as_ref().map(bounded),
        error_code: error_code.as_ref().map(bounded),
    });
    Fault {
        kind: *kind,
        status: *status,
        errno: *errno,
        endpoint: *endpoint,
        message: bounded(message),
        labels,
        retry_after: *retry_after,
        should_retry: *should_retry,
        points_to: points_to.as_ref().map(bounded),
    }
}
