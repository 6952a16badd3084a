//! Reads a stream's messages in order, through a consumer on the server.
//!
//! The client's own consumers start over if they reconnect before any delivery, and never report the end. This one
//! reports gaps and idle times.

use super::connection::unavailable;
use async_nats::header::NATS_LAST_CONSUMER;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, push};
use async_nats::jetstream::{self, stream};
use async_nats::{HeaderMap, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::{Duration, SystemTime};
use upright_core::store::StoreError;

const STALLED: &str = "Nats-Consumer-Stalled";
/// Time after which the server drops an unused consumer.
const INACTIVE: Duration = Duration::from_secs(5);

pub(super) struct Wanted {
    pub(super) subject: String,
    pub(super) from: DeliverPolicy,
    pub(super) headers_only: bool,
    /// Time between reports of an idle server, at least 100 ms.
    pub(super) heartbeat: Duration,
}

pub(super) struct Deliveries {
    messages: Subscriber,
    context: jetstream::Context,
    stream: stream::Stream,
    name: String,
    received: u64,
    pub(super) pending: u64,
}

pub(super) enum Delivery {
    Message(Delivered),
    Idle,
    /// A message was lost, or the subscription ended.
    Gap,
}

pub(super) struct Delivered {
    pub(super) subject: String,
    pub(super) sequence: u64,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    /// Arrival time by the server's clock.
    pub(super) stored: SystemTime,
    pub(super) pending: u64,
}

impl Deliveries {
    pub(super) async fn open(stream: &stream::Stream, context: &jetstream::Context, wanted: &Wanted) -> Result<Self, StoreError> {
        let client = context.client();
        let inbox = client.new_inbox();
        // Before the consumer, which delivers at once.
        let messages = client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        let consumer = stream.create_consumer(push::Config {
            deliver_subject: inbox,
            deliver_policy: wanted.from,
            filter_subject: wanted.subject.clone(),
            headers_only: wanted.headers_only,
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            flow_control: true,
            idle_heartbeat: wanted.heartbeat,
            inactive_threshold: INACTIVE,
            num_replicas: 1,
            memory_storage: true,
            ..push::Config::default()
        });
        let consumer = consumer.await.map_err(unavailable)?;
        let info = consumer.cached_info();
        Ok(Self {
            messages,
            context: context.clone(),
            stream: stream.clone(),
            name: info.name.clone(),
            received: 0,
            pending: info.num_pending,
        })
    }

    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Delivery {
        loop {
            let Some(message) = self.messages.next().await else { return Delivery::Gap };
            if message.status.is_none() {
                return self.delivered(message);
            }
            if message.status != Some(StatusCode::IDLE_HEARTBEAT) {
                continue;
            }
            let header =
                |name: &str| message.headers.as_ref().and_then(|headers| headers.get_last(name)).map(|value| value.as_str().to_owned());
            if let Some(asked) = message.reply.as_deref().map(str::to_owned).or_else(|| header(STALLED)) {
                // The server continues once answered; it asks again with the next heartbeat.
                let _ = self.context.client().publish(asked, Bytes::new()).await;
                continue;
            }
            let last = header(NATS_LAST_CONSUMER.as_ref()).and_then(|last| last.parse().ok());
            return if last == Some(self.received) { Delivery::Idle } else { Delivery::Gap };
        }
    }

    fn delivered(&mut self, message: async_nats::Message) -> Delivery {
        let mut message = jetstream::Message { message, context: self.context.clone() };
        let Ok(info) = message.info() else { return Delivery::Gap };
        let (sequence, stored, pending) = (info.stream_sequence, SystemTime::from(info.published), info.pending);
        if info.consumer_sequence != self.received + 1 {
            return Delivery::Gap;
        }
        self.received += 1;
        let headers = message.message.headers.take().unwrap_or_default();
        Delivery::Message(Delivered {
            subject: message.subject.to_string(),
            sequence,
            headers,
            payload: message.message.payload,
            stored,
            pending,
        })
    }

    pub(super) async fn drain(mut self, mut each: impl FnMut(Delivered)) -> Result<(), StoreError> {
        let mut left = self.pending;
        while left > 0 {
            match self.next().await {
                Delivery::Message(message) => {
                    left = message.pending;
                    each(message);
                }
                Delivery::Idle => left = self.stream.consumer_info(&self.name).await.map_err(unavailable)?.num_pending,
                Delivery::Gap => return Err(unavailable(std::io::Error::other("messages were lost on the way"))),
            }
        }
        // Otherwise it ends by itself, later.
        let _ = self.stream.delete_consumer(&self.name).await;
        Ok(())
    }
}
