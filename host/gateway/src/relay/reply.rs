//! Bodies of answers to clients.

use super::body::{Aborted, Relay};
use super::passed::Passed;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Body of an answer to a client.
#[derive(Debug)]
pub(crate) enum Reply {
    /// In memory.
    Whole(Full<Bytes>),
    /// Judged on its way.
    Relay(Box<Relay>),
    /// Passed through.
    Through(Box<Passed>),
}

impl From<Bytes> for Reply {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match &mut *self {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context).map_err(|never| match never {}),
            Self::Relay(relay) => Pin::new(relay).poll_frame(context),
            Self::Through(passed) => passed.poll_bytes(context).map(|bytes| bytes.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(whole) if whole.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Relay(_) | Self::Through(_) => SizeHint::default(),
        }
    }
}
