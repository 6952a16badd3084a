//! Takes a place for a request at a host that limits its calls, or waits for one.

use crate::hosts::host::Host;
use crate::hosts::names::ModelName;
use crate::hosts::queue::{Place, Waiting};
use std::sync::Arc;
use std::time::Duration;
use upright_core::error::BulkheadFull;

/// The host in this list that has a place for the model, with the place: the first host if it has one now, else the one
/// where a place becomes free first. A host without a limit needs none. A place that is `held` at the first host stays.
///
/// Dropping the future leaves all queues.
///
/// # Errors
/// [`BulkheadFull`] if all queues are full, or if no place became free within this time.
pub(super) async fn enter(
    hosts: &[&Arc<Host>],
    model: &ModelName,
    held: Option<Place>,
    within: Duration,
) -> Result<(usize, Option<Place>), BulkheadFull> {
    let Some(first) = hosts.first().and_then(|host| host.queue(model)) else { return Ok((0, None)) };
    if let Some(place) = held.filter(|held| held.is_in(&first)).or_else(|| first.try_enter()) {
        return Ok((0, Some(place)));
    }
    let (mut waiting, mut joined) = (Waiting::new(), false);
    for (index, host) in hosts.iter().enumerate() {
        if let Some(queue) = host.queue(model) {
            joined |= waiting.join(index, &queue).is_ok();
        }
    }
    if !joined {
        return Err(first.full(Duration::ZERO));
    }
    match tokio::time::timeout(within, waiting.turn()).await {
        Ok((index, place)) => Ok((index, Some(place))),
        Err(_) => Err(first.full(within)),
    }
}
