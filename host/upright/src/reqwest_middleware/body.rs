//! Reads the beginning of a body and still passes on the whole.

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use reqwest::Body;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(super) struct Replayed {
    seen: VecDeque<Result<Frame<Bytes>, reqwest::Error>>,
    rest: Option<Body>,
}

impl Replayed {
    pub(super) fn new(body: Body) -> Self {
        Self { seen: VecDeque::new(), rest: Some(body) }
    }

    pub(super) async fn look_ahead(&mut self, bytes: usize) {
        while self.bytes_seen() < bytes
            && let Some(rest) = &mut self.rest
        {
            let frame = poll_fn(|context| Pin::new(&mut *rest).poll_frame(context)).await;
            if !matches!(frame, Some(Ok(_))) {
                self.rest = None;
            }
            self.seen.extend(frame);
        }
    }

    pub(super) fn beginning(&self, bytes: usize) -> Vec<u8> {
        self.data().flatten().copied().take(bytes).collect()
    }

    fn data(&self) -> impl Iterator<Item = &Bytes> {
        self.seen.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref())
    }

    fn bytes_seen(&self) -> usize {
        self.data().map(Bytes::len).sum()
    }
}

impl HttpBody for Replayed {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        if let Some(frame) = self.seen.pop_front() {
            return Poll::Ready(Some(frame));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.seen.is_empty() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint);
        let seen = u64::try_from(self.bytes_seen()).unwrap_or(u64::MAX);
        // Upper bound first: the lower may not exceed it.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(seen));
        }
        hint.set_lower(hint.lower().saturating_add(seen));
        hint
    }
}
