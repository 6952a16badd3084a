//! Follows a bucket's new messages. After a reconnection it resumes where it was, or reports that the bucket was
//! replaced.

use super::bucket::Bucket;
use super::connection::unavailable;
use super::deliveries::{Delivered, Deliveries, Delivery, Wanted};
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::Info;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use upright_core::store::StoreError;

/// Time between heartbeats. After three missed ones the feed listens again: in a cluster the delivering server may die
/// alone.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Delay between attempts.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Feed {
    bucket: Arc<Bucket>,
    store: watch::Receiver<()>,
    subject: String,
    headers_only: bool,
    /// Every message up to this sequence was seen.
    seen: u64,
    created: SystemTime,
    deliveries: Option<Deliveries>,
    on: u64,
}

pub(super) enum News {
    Message(Delivered),
    /// The bucket was replaced; maximum number of messages missed.
    Missed(u64),
}

impl Feed {
    pub(super) async fn open(
        bucket: &Arc<Bucket>,
        store: watch::Receiver<()>,
        subject: String,
        headers_only: bool,
    ) -> Result<Self, StoreError> {
        let on = bucket.connection().connectivity().connections;
        let info = info(bucket).await?;
        let (seen, created) = (info.state.last_sequence, SystemTime::from(info.created));
        let mut feed = Self { bucket: Arc::clone(bucket), store, subject, headers_only, seen, created, deliveries: None, on };
        feed.deliveries = Some(feed.listen(seen).await?);
        Ok(feed)
    }

    async fn listen(&self, after: u64) -> Result<Deliveries, StoreError> {
        let from = DeliverPolicy::ByStartSequence { start_sequence: after + 1 };
        let wanted = Wanted { subject: self.subject.clone(), from, headers_only: self.headers_only, heartbeat: HEARTBEAT };
        Deliveries::open(&self.bucket.stream().await?, self.bucket.connection().context(), &wanted).await
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) async fn next(&mut self) -> Option<News> {
        let mut store = self.store.clone();
        let gone = async { while store.changed().await.is_ok() {} };
        tokio::select! {
            biased;
            news = self.news() => Some(news),
            () = gone => None,
        }
    }

    async fn news(&mut self) -> News {
        loop {
            if self.deliveries.is_none()
                && let Some(missed) = self.resume().await
            {
                return News::Missed(missed);
            }
            match self.delivery().await {
                // A restored bucket may repeat messages.
                Some(Delivery::Message(message)) if message.sequence > self.seen => {
                    self.seen = message.sequence;
                    return News::Message(message);
                }
                Some(Delivery::Message(_) | Delivery::Idle) => {}
                Some(Delivery::Gap) | None => self.deliveries = None,
            }
        }
    }

    async fn delivery(&mut self) -> Option<Delivery> {
        let connection = self.bucket.connection();
        let (mut status, on) = (connection.status(), self.on);
        let lost = async { status.wait_for(|status| !status.is(on)).await.is_ok() };
        let deliveries = self.deliveries.as_mut()?;
        tokio::select! {
            biased;
            delivery = deliveries.next() => Some(delivery),
            _ = lost => None,
            () = connection.clock().sleep(HEARTBEAT * 3) => None,
        }
    }

    /// Returns the number of messages missed, if any.
    async fn resume(&mut self) -> Option<u64> {
        loop {
            let connection = self.bucket.connection();
            let mut status = connection.status();
            let _ = status.wait_for(|status| status.connectivity.connected).await.is_ok();
            let on = connection.connectivity().connections;
            let Ok((deliveries, last, created)) = connection.bounded(connection.limit(0), self.listen_again()).await else {
                // The stream may be missing.
                self.bucket.forget();
                connection.clock().sleep(PAUSE).await;
                continue;
            };
            let missed = (!self.continues(last, created)).then_some(last);
            (self.deliveries, self.on, self.created) = (Some(deliveries), on, created);
            self.seen = missed.unwrap_or(self.seen);
            return missed;
        }
    }

    async fn listen_again(&self) -> Result<(Deliveries, u64, SystemTime), StoreError> {
        let info = info(&self.bucket).await?;
        let (last, created) = (info.state.last_sequence, SystemTime::from(info.created));
        let after = if self.continues(last, created) { self.seen } else { last };
        Ok((self.listen(after).await?, last, created))
    }

    fn continues(&self, last: u64, created: SystemTime) -> bool {
        created == self.created && last >= self.seen
    }
}

async fn info(bucket: &Bucket) -> Result<Info, StoreError> {
    bucket.stream().await?.get_info().await.map_err(unavailable)
}
