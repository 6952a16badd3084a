//! Copies of questions that hold no more text than a policy looks at: what waits to be written must not be without bounds.

use crate::types::{Fault, Incident, MESSAGE_LIMIT};

pub(crate) fn copy(incident: &Incident) -> Incident {
    let Incident { failure, attempt, elapsed, deadline, idempotent, retry_budget, retry, random, now, guard, models, at_hand, resources } =
        incident;
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
    }
}

pub(crate) fn copy_of_fault(fault: &Fault) -> Fault {
    let Fault { kind, status, errno, endpoint, message, retry_after } = fault;
    let message = if message.len() > MESSAGE_LIMIT { crate::fault::bounded(message) } else { message.clone() };
    Fault { kind: *kind, status: *status, errno: *errno, endpoint: *endpoint, message, retry_after: *retry_after }
}
