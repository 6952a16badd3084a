//! Keeps connections open between requests.

use super::Peer;
use super::body::{AnswerBody, Outgoing};
use super::error::SendError;
use super::sips::Sips;
use crate::tls::Connector;
use http::{Request, response};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// Maximum number of idle connections to one host, for each worker.
const IDLE: usize = 64;
/// Maximum time for which a connection whose answer has ended still sends its request.
const REST: Duration = Duration::from_secs(1);

/// A connection that waits for a request.
#[derive(Debug)]
pub(super) struct Idle {
    peer: Peer,
    sender: SendRequest<Outgoing>,
    _connection: Connected,
}

/// The task of a connection, which ends with it: a host that does not read would else hold a request's body.
#[derive(Debug)]
struct Connected(AbortHandle);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer whose head has come.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: response::Parts,
    /// The body, as it comes.
    pub body: AnswerBody,
}

/// The open connections of one worker.
#[derive(Debug, Default)]
pub struct Pool {
    connector: Connector,
    idle: RefCell<HashMap<Peer, Vec<Idle>>>,
}

impl Pool {
    /// A pool without connections, which connects to https addresses by `connector`.
    pub fn new(connector: Connector) -> Self {
        Self { connector, ..Self::default() }
    }

    /// Sends a request to `peer` and waits for the answer's head, without a limit.
    ///
    /// `request` makes it; it is called again where a kept connection turned out to be closed before it took the
    /// request.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(
        self: &Rc<Self>,
        peer: &Peer,
        connect: Duration,
        mut request: impl FnMut() -> Option<Request<Outgoing>>,
    ) -> Result<Answer, SendError> {
        let exchange = |source| SendError::Exchange { to: peer.to_string(), source };
        // A request that a kept connection did not take.
        let mut back = None;
        while let Some(mut kept) = self.take(peer) {
            let Some(request) = back.take().or_else(&mut request) else { break };
            let began = Instant::now();
            match kept.sender.try_send_request(request).await {
                Ok(answer) => return Ok(self.answer(answer, kept)),
                // The host closed it while it was idle: the request was not taken.
                Err(mut failed) if failed.message().is_some() => back = failed.take_message(),
                Err(failed) if failed.error().is_canceled() || failed.error().is_closed() => {}
                // It closed it as the request came, without a byte of an answer.
                Err(failed) if began.elapsed() < connect && is_closed(failed.error()) => break,
                Err(failed) => return Err(exchange(failed.into_error())),
            }
        }
        let Some(request) = back.or_else(&mut request) else {
            // A body that passes through can be sent only once.
            let source = io::Error::other("the request's body was already sent");
            return Err(SendError::Connect { to: peer.to_string(), source });
        };
        let mut fresh = self.connect(peer, connect).await?;
        match fresh.sender.send_request(request).await {
            Ok(answer) => Ok(self.answer(answer, fresh)),
            Err(error) => Err(exchange(error)),
        }
    }

    fn answer(self: &Rc<Self>, answer: http::Response<hyper::body::Incoming>, connection: Idle) -> Answer {
        let (head, incoming) = answer.into_parts();
        Answer { head, body: AnswerBody::new(incoming, Rc::downgrade(self), connection) }
    }

    fn take(&self, peer: &Peer) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(peer)?;
        while let Some(connection) = kept.pop() {
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self, peer: &Peer, limit: Duration) -> Result<Idle, SendError> {
        let to = || peer.to_string();
        let stream = match tokio::time::timeout(limit, super::connect(peer, &self.connector)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(SendError::Connect { to: to(), source }),
            Err(_) => return Err(SendError::ConnectTimeout { to: to(), limit }),
        };
        let shaken = http1::handshake::<_, Outgoing>(TokioIo::new(Sips::of(stream))).await;
        let (sender, connection) = shaken.map_err(|source| SendError::Exchange { to: to(), source })?;
        // Its error reaches the exchange that it belongs to.
        let task = tokio::task::spawn_local(connection);
        Ok(Idle { peer: peer.clone(), sender, _connection: Connected(task.abort_handle()) })
    }

    /// Keeps a connection whose answer has ended.
    pub(super) fn give_back(pool: &Weak<Self>, connection: Idle) {
        let Some(pool) = pool.upgrade() else { return };
        if connection.sender.is_ready() {
            return pool.keep(connection);
        }
        tokio::task::spawn_local(async move {
            let mut connection = connection;
            if matches!(tokio::time::timeout(REST, connection.sender.ready()).await, Ok(Ok(()))) {
                pool.keep(connection);
            }
        });
    }

    fn keep(&self, connection: Idle) {
        let mut idle = self.idle.borrow_mut();
        match idle.get_mut(&connection.peer) {
            Some(kept) if kept.len() < IDLE => kept.push(connection),
            Some(_) => {}
            None => drop(idle.insert(connection.peer.clone(), vec![connection])),
        }
    }
}

/// Whether the host closed the connection in place of an answer.
fn is_closed(error: &hyper::Error) -> bool {
    let is_broken = |error: &io::Error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    error.is_incomplete_message() || error.source().and_then(|source| source.downcast_ref()).is_some_and(is_broken)
}
