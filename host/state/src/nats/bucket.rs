//! Reads and writes one stream of the server; makes a missing one.

use super::connection::{Connection, unavailable};
use super::deliveries::{Delivered, Deliveries, Wanted};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Config, DirectGetErrorKind, LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use upright_core::store::StoreError;

/// Time until the server reports the end of a listing.
const LIST_HEARTBEAT: Duration = Duration::from_millis(200);

pub(super) struct Bucket {
    connection: Arc<Connection>,
    config: Config,
    opened: Mutex<Option<Opened>>,
}

#[derive(Clone)]
struct Opened {
    stream: Stream,
    era: u64,
}

impl Bucket {
    pub(super) fn new(connection: Arc<Connection>, config: Config) -> Self {
        Self { connection, config, opened: Mutex::new(None) }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) async fn stream(&self) -> Result<Stream, StoreError> {
        let era = self.connection.era();
        let known = self.opened().clone().filter(|opened| opened.era == era);
        if let Some(known) = known {
            return Ok(known.stream);
        }
        let context = self.connection.context();
        let stream = match context.get_stream(&self.config.name).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(inner) if inner.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    context.create_stream(self.config.clone()).await.map_err(unavailable)?
                }
                _ => return Err(self.no_jetstream(error)),
            },
        };
        *self.opened() = Some(Opened { stream: stream.clone(), era });
        Ok(stream)
    }

    pub(super) fn forget(&self) {
        *self.opened() = None;
    }

    fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_jetstream(&self, error: impl Error + Send + Sync + 'static) -> StoreError {
        if self.connection.client().server_info().jetstream {
            return unavailable(error);
        }
        let shown = self.connection.shown();
        unavailable(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{shown} runs without JetStream: it is to be started with -js ({error})"),
        ))
    }

    pub(super) async fn last(&self, subject: &str) -> Result<Option<StreamMessage>, StoreError> {
        let stream = self.stream().await?;
        let config = &stream.cached_info().config;
        // Any replica answers a direct get, even one that lags behind.
        if config.allow_direct && config.num_replicas <= 1 {
            return match stream.direct_get_last_for_subject(subject).await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(error) => Err(unavailable(error)),
            };
        }
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// `None` if a header expects another last sequence.
    pub(super) async fn publish(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<Option<u64>, StoreError> {
        let sent = self.connection.context().publish_with_headers(subject, headers, payload).await.map_err(unavailable)?;
        match sent.await {
            Ok(stored) => Ok(Some(stored.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence || newer_code(&error) => Ok(None),
            Err(error) => {
                if error.kind() == PublishErrorKind::StreamNotFound {
                    self.forget();
                }
                Err(unavailable(error))
            }
        }
    }

    /// Removes messages below the sequence `before`, or all.
    pub(super) async fn purge(&self, subject: String, before: Option<u64>) -> Result<(), StoreError> {
        let stream = self.stream().await?;
        let purged = match before {
            Some(sequence) => stream.purge().filter(subject).sequence(sequence).await,
            None => stream.purge().filter(subject).await,
        };
        purged.map(|_| ()).map_err(unavailable)
    }

    pub(super) async fn gather(
        &self,
        subject: String,
        from: DeliverPolicy,
        headers_only: bool,
        each: impl FnMut(Delivered),
    ) -> Result<(), StoreError> {
        let wanted = Wanted { subject, from, headers_only, heartbeat: LIST_HEARTBEAT };
        Deliveries::open(&self.stream().await?, self.connection.context(), &wanted).await?.drain(each).await
    }
}

/// Servers from 2.12 on have a second code.
fn newer_code(error: &jetstream::context::PublishError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    source.is_some_and(|source| source.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}
