//! Reconnects by itself. Calls never wait for that: they fail, though the server may still act on them.

use super::address::Address;
use super::{NatsOptions, STORE};
use crate::clock::SharedClock;
use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event};
use std::future::{Future, ready};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use upright_core::store::{StoreError, background};

/// Maximum delay between reconnection attempts.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);
/// Time between pings. A server that misses two is away.
const PING: Duration = Duration::from_secs(2);
/// Number of value bytes that extend a call by another time limit.
const BYTES_PER_LIMIT: usize = 8 << 20;

/// State of the connection to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connectivity {
    /// Whether it is connected, as far as known.
    pub connected: bool,
    /// Number of connections so far. It reveals a loss between two looks.
    pub connections: u64,
}

#[derive(Clone, Default)]
pub(super) struct Status {
    pub(super) connectivity: Connectivity,
    losses: u64,
    trouble: Option<Trouble>,
}

#[derive(Clone)]
enum Trouble {
    Refused,
    Said(String),
}

pub(super) struct Connection {
    client: Client,
    context: jetstream::Context,
    status: watch::Receiver<Status>,
    clock: SharedClock,
    limit: Duration,
    silences: AtomicU64,
    shown: String,
    hint: String,
}

impl Connection {
    pub(super) async fn open(address: &Address, options: &NatsOptions, clock: SharedClock) -> Result<Self, StoreError> {
        let (sender, status) = watch::channel(Status::default());
        // A safety net; `bounded` ends calls.
        let inner_limit = options.limit.saturating_mul(4).max(Duration::from_secs(60));
        let mut connect = address
            .identify(ConnectOptions::new())
            .name("upright")
            .retry_on_initial_connect()
            .connection_timeout(options.limit)
            .request_timeout(Some(inner_limit))
            .ping_interval(PING)
            .reconnect_delay_callback(pause)
            .event_callback(move |event| {
                sender.send_modify(|status| status.note(&event));
                ready(())
            });
        if let Some(file) = &options.credentials {
            let with = connect.credentials_file(file).await;
            connect = with.map_err(|error| {
                unavailable(io::Error::new(error.kind(), format!("the file of credentials {} cannot be read: {error}", file.display())))
            })?;
        }
        // Its tasks are spawned where this is polled.
        background::runtime().map_err(unavailable)?;
        let client = connect.connect(address.servers.as_slice()).await.map_err(unavailable)?;
        let context = ContextBuilder::new().timeout(inner_limit).ack_timeout(options.limit).build(client.clone());
        let (shown, hint) = (address.shown().to_owned(), address.hint(options));
        let connection = Self { client, context, status, clock, limit: options.limit, silences: AtomicU64::new(0), shown, hint };
        connection.first_news().await;
        let status = connection.status.borrow().clone();
        if matches!(status.trouble, Some(Trouble::Refused)) { Err(connection.away(&status)) } else { Ok(connection) }
    }

    async fn first_news(&self) {
        let mut status = self.status.clone();
        let news = async { status.wait_for(|status| status.connectivity.connected || status.trouble.is_some()).await.is_ok() };
        tokio::select! {
            _ = news => {}
            () = self.clock.sleep(self.limit) => {}
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn context(&self) -> &jetstream::Context {
        &self.context
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn connectivity(&self) -> Connectivity {
        let known = self.status.borrow().connectivity;
        // The client's own state is ahead of its events.
        Connectivity { connected: known.connected && self.client.connection_state() == State::Connected, ..known }
    }

    /// Changes when knowledge of streams may be stale: after reconnections and unanswered calls. Servers ignore
    /// questions about removed streams.
    pub(super) fn era(&self) -> u64 {
        self.connectivity().connections + self.silences.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self, bytes: usize) -> Duration {
        let more = u32::try_from(bytes / BYTES_PER_LIMIT).unwrap_or(u32::MAX);
        self.limit.saturating_mul(more.saturating_add(1))
    }

    pub(super) async fn bounded<T>(
        &self,
        limit: Duration,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut status = self.status.clone();
        let before = status.borrow().clone();
        if !self.connectivity().connected {
            return Err(self.away(&before));
        }
        let lost = async { status.wait_for(|status| status.losses != before.losses).await.is_ok() };
        tokio::select! {
            biased;
            result = operation => result,
            _ = lost => Err(unavailable(io::Error::new(io::ErrorKind::ConnectionReset, format!("the connection to {} was lost meanwhile; what was asked may have been done", self.shown)))),
            () = self.clock.sleep(limit) => Err(self.silent(limit)),
        }
    }

    fn away(&self, status: &Status) -> StoreError {
        let why = match &status.trouble {
            Some(Trouble::Refused) => return StoreError::Refused { store: STORE, address: self.shown.clone(), hint: self.hint.clone() },
            Some(Trouble::Said(text)) => format!("{} is not reached: {text}", self.shown),
            None => format!("{} is not reached", self.shown),
        };
        unavailable(io::Error::new(io::ErrorKind::HostUnreachable, why))
    }

    fn silent(&self, limit: Duration) -> StoreError {
        self.silences.fetch_add(1, Ordering::Relaxed);
        let said = match &self.status.borrow().trouble {
            Some(Trouble::Said(text)) => format!("; it had said: {text}"),
            _ => String::new(),
        };
        let why = format!("{} did not answer within {limit:?}; what was asked may still be done{said}", self.shown);
        unavailable(io::Error::new(io::ErrorKind::TimedOut, why))
    }
}

impl Status {
    pub(super) fn is(&self, connection: u64) -> bool {
        self.connectivity == Connectivity { connected: true, connections: connection }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Connected => {
                self.connectivity.connected = true;
                self.connectivity.connections += 1;
                self.trouble = None;
            }
            Event::Disconnected | Event::Closed => {
                self.losses += u64::from(self.connectivity.connected);
                self.connectivity.connected = false;
            }
            Event::ClientError(ClientError::Other(said)) if refusal(said) => self.trouble = Some(Trouble::Refused),
            Event::ClientError(ClientError::Other(said)) => self.trouble = Some(Trouble::Said(said.clone())),
            // Such as a forbidden subject.
            Event::ServerError(said) => self.trouble = Some(Trouble::Said(said.to_string())),
            _ => {}
        }
    }
}

fn refusal(said: &str) -> bool {
    [ConnectErrorKind::AuthorizationViolation, ConnectErrorKind::Authentication].iter().any(|kind| kind.to_string() == said)
}

/// 0, 20 ms, 40 ms and so on.
fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).min(16)).unwrap_or(16);
    if doublings == 0 { Duration::ZERO } else { Duration::from_millis(10).saturating_mul(1 << doublings).min(PAUSE_LIMIT) }
}

pub(super) fn unavailable(source: impl Into<upright_core::error::BoxError>) -> StoreError {
    StoreError::Unavailable { store: STORE, source: source.into() }
}
