//! Sends a response body piece by piece, and may end badly.

use crate::state::Exchange;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::time::Duration;
use tokio::sync::watch;

const DRIP_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) enum Ending {
    Whole,
    Reset,
    Abort,
    Stall { release: watch::Receiver<()>, rest: Vec<Bytes> },
    Drip,
}

struct Feed {
    pieces: VecDeque<Bytes>,
    ending: Ending,
    interval: Duration,
    exchange: Exchange,
}

pub(crate) fn feed(pieces: Vec<Bytes>, ending: Ending, interval: Duration, exchange: Exchange) -> UnsyncBoxBody<Bytes, io::Error> {
    let feed = Feed { pieces: pieces.into(), ending, interval, exchange };
    BodyExt::boxed_unsync(StreamBody::new(stream::unfold(feed, Feed::next)))
}

impl Feed {
    async fn next(mut self) -> Option<(io::Result<Frame<Bytes>>, Self)> {
        // hyper flushes whenever the body is not ready, so even an empty wait sends the piece before.
        if self.interval.is_zero() || self.pieces.is_empty() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(self.interval).await;
        }
        if self.pieces.is_empty() {
            match mem::replace(&mut self.ending, Ending::Whole) {
                Ending::Whole => {}
                Ending::Reset => {
                    self.exchange.reset_connection();
                    return Some((Err(io::ErrorKind::ConnectionReset.into()), self));
                }
                Ending::Abort => {
                    self.exchange.complete();
                    return Some((Err(io::ErrorKind::ConnectionAborted.into()), self));
                }
                Ending::Stall { mut release, rest } => {
                    // An error means that the server, and so this task, has ended.
                    let _ = release.changed().await;
                    self.pieces = rest.into();
                }
                Ending::Drip => {
                    tokio::time::sleep(DRIP_INTERVAL).await;
                    self.ending = Ending::Drip;
                    self.pieces.push_back(Bytes::from_static(b" "));
                }
            }
        }
        let piece = self.pieces.pop_front();
        if self.pieces.is_empty() && matches!(self.ending, Ending::Whole) {
            // Before the last piece, after which a client may leave.
            self.exchange.complete();
        }
        piece.map(|piece| (Ok(Frame::data(piece)), self))
    }
}
