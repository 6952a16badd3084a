//! Bodies of requests to hosts, and of their answers.

use super::pool::{Idle, Pool};
use crate::hosts::host::Host;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::rc::Weak;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Body of a request to a host.
#[derive(Debug)]
pub enum Outgoing {
    /// In memory, so that it can be sent again.
    Whole(Full<Bytes>),
    /// Passed through as the client sends it.
    Through(Incoming),
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context).map_err(|never| match never {}),
            Self::Through(incoming) => Pin::new(incoming).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Through(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Through(incoming) => incoming.size_hint(),
        }
    }
}

/// Body of a host's answer. Its connection returns to the pool at its end. Dropping it before closes the connection.
#[derive(Debug)]
pub struct AnswerBody {
    incoming: Incoming,
    connection: Option<(Weak<Pool>, Idle)>,
    change: Option<Change>,
}

/// A change of a host's models, which is done when the answer ends.
struct Change {
    host: Arc<Host>,
    /// Ends when the host's lists show the change.
    shown: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Change {
    fn poll_shown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let host = &self.host;
        let begin = || -> Pin<Box<dyn Future<Output = ()>>> {
            host.changed();
            let host = Arc::clone(host);
            Box::pin(async move { host.shown().await })
        };
        self.shown.get_or_insert_with(begin).as_mut().poll(context)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if self.shown.is_none() {
            self.host.changed();
        }
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Change({:?})", self.host)
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // A reader that knows the length does not ask for the end.
        if self.incoming.is_end_stream()
            && let Some((pool, connection)) = self.connection.take()
        {
            Pool::give_back(&pool, connection);
        }
    }
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, pool: Weak<Pool>, connection: Idle) -> Self {
        Self { incoming, connection: Some((pool, connection)), change: None }
    }

    /// Whether all bytes have come, as far as their number is known.
    pub(crate) fn is_at_end(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// The answer changes the host's models: its end waits until the host's lists show that, or for a short limit.
    pub(crate) fn changes(&mut self, host: Arc<Host>) {
        self.change = Some(Change { host, shown: None });
    }

    /// The next bytes; `None` at a proper end.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            if self.connection.is_none()
                && let Some(change) = &mut self.change
            {
                ready!(change.poll_shown(context));
                self.change = None;
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                // Trailers carry nothing of an answer.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Poll::Ready(Some(Ok(bytes))),
                    _ => {}
                },
                Some(Err(error)) => {
                    self.connection = None;
                    self.change = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    if let Some((pool, connection)) = self.connection.take() {
                        Pool::give_back(&pool, connection);
                    }
                    if self.change.is_none() {
                        return Poll::Ready(None);
                    }
                }
            }
        }
    }

    /// The next bytes; `None` at a proper end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn bytes(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        std::future::poll_fn(|context| self.poll_bytes(context)).await
    }
}
