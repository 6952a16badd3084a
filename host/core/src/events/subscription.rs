//! Streams events to a subscriber.

use super::{Event, Shared};
use futures_util::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// A [`Stream`] of events in order, until all senders are gone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use upright::events::Events;
/// use upright::{Event, RetryStrategy};
///
/// let events = Events::default();
/// let mut seen = events.subscribe();
/// let retry = RetryStrategy::builder().max_retries(0).events(events).build()?;
/// let _ = retry.execute(|| async { Err::<(), _>(std::io::Error::other("no luck")) }).await;
/// assert!(matches!(seen.recv().await, Some(Event::AttemptFailed { attempt: 1, .. })));
/// assert!(matches!(seen.try_recv(), Some(Event::GaveUp { .. })));
/// assert_eq!(seen.try_recv(), None);
/// # Ok(()) }
/// ```
pub struct Subscription {
    stream: Pin<Box<dyn Stream<Item = Event> + Send + Sync>>,
    counted: Counted,
}

/// Keeps no sender alive.
#[derive(Debug)]
struct Counted(std::sync::Weak<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.subscribers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Subscription {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let stream = Box::pin(stream::unfold(shared.sender().subscribe(), next));
        shared.subscribers.fetch_add(1, Ordering::AcqRel);
        Self { stream, counted: Counted(Arc::downgrade(shared)) }
    }

    /// The next event; `None` when all senders are gone. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Event> {
        self.next().await
    }

    /// The next event, without waiting.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.next().now_or_never().flatten()
    }

    /// Whether all senders are gone.
    pub fn is_closed(&self) -> bool {
        self.counted.0.strong_count() == 0
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.stream.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subscription").field("is_closed", &self.is_closed()).finish()
    }
}

async fn next(mut events: Receiver<Event>) -> Option<(Event, Receiver<Event>)> {
    match events.recv().await {
        Ok(event) => Some((event, events)),
        Err(RecvError::Lagged(missed)) => Some((Event::Missed { events: missed }, events)),
        Err(RecvError::Closed) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Events;
    use super::*;

    fn event(number: u64) -> Event {
        Event::Missed { events: number }
    }

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_learns_how_many_events_it_missed() {
        let events = Events::default();
        let mut seen = events.subscribe();
        (0..1030).for_each(|number| events.emit(|| event(number)));
        assert_eq!(seen.recv().await, Some(Event::Missed { events: 6 }));
        assert_eq!(seen.recv().await, Some(event(6)));
    }

    #[tokio::test]
    async fn the_stream_ends_with_the_last_that_could_send() {
        let events = Events::default();
        let mut seen = events.subscribe();
        events.clone().emit(|| event(1));
        drop(events);
        assert!(seen.is_closed());
        assert_eq!(seen.recv().await, Some(event(1)));
        assert_eq!(seen.recv().await, None);
    }

    #[test]
    fn events_without_a_subscriber_have_no_backlog() {
        let events = Events::default();
        events.emit(|| event(1));
        assert!(events.shared.sender.get().is_none());
    }

    #[test]
    fn a_dropped_event_subscription_is_no_longer_counted_as_a_subscriber() {
        let events = Events::default();
        drop(events.subscribe());
        assert_eq!(events.shared.subscribers.load(Ordering::Relaxed), 0);
        assert_eq!(events.shared.sender().receiver_count(), 0);
    }
}
