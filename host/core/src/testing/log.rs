//! Collects a test's events.

use crate::events::{Event, Events, Subscription};
use std::sync::{Mutex, PoisonError};

/// Events so far, read without waiting. From 1,024 unread on, the oldest are lost ([`Event::Missed`]).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use upright::RecoveryManager;
/// use upright::testing::EventLog;
///
/// let manager = RecoveryManager::builder().build()?;
/// let log = EventLog::from(manager.subscribe());
/// assert_eq!(log.take(), []);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct EventLog {
    seen: Mutex<Subscription>,
}

impl EventLog {
    /// Logs later events.
    pub fn of(events: &Events) -> Self {
        events.subscribe().into()
    }

    /// Takes the events, in order.
    pub fn take(&self) -> Vec<Event> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| seen.try_recv()).collect()
    }
}

impl From<Subscription> for EventLog {
    fn from(seen: Subscription) -> Self {
        Self { seen: Mutex::new(seen) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CircuitBreaker, types::Phase};

    #[test]
    fn events_are_taken_in_order_and_once() {
        let events = Events::default();
        let breaker = CircuitBreaker::builder("b").failure_threshold(1).events(events.clone()).build().unwrap();
        let log = EventLog::of(&events);
        breaker.call_blocking(|| Err::<(), _>(std::io::Error::from_raw_os_error(111))).unwrap_err();
        breaker.reset();
        let moved = |from, to| Event::BreakerMoved { breaker: "b".into(), from, to };
        assert_eq!(log.take(), [moved(Phase::Closed, Phase::Open), moved(Phase::Open, Phase::Closed)]);
        assert_eq!(log.take(), []);
    }
}
