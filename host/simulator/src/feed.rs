//! A response body that is sent piece by piece and can end badly.

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

/// Between two bytes of a slow drip.
const DRIP_INTERVAL: Duration = Duration::from_millis(20);

/// How the sending of a body ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// As it should.
    Whole,
    /// With a TCP RST.
    Reset,
    /// With a TCP FIN and without the last chunk.
    Abort,
    /// With silence until the release, then the rest.
    Stall { release: watch::Receiver<()>, rest: Vec<Bytes> },
    /// Never: one space after the other.
    Drip,
}

struct Feed {
    pieces: VecDeque<Bytes>,
    ending: Ending,
    interval: Duration,
    exchange: Exchange,
}

/// A chunked body. Each piece is on its way to the client before the next is made.
pub(crate) fn feed(pieces: Vec<Bytes>, ending: Ending, interval: Duration, exchange: Exchange) -> UnsyncBoxBody<Bytes, io::Error> {
    let feed = Feed { pieces: pieces.into(), ending, interval, exchange };
    BodyExt::boxed_unsync(StreamBody::new(stream::unfold(feed, Feed::next)))
}

impl Feed {
    async fn next(mut self) -> Option<(io::Result<Frame<Bytes>>, Self)> {
        // hyper flushes what it holds whenever the body has nothing ready, so waiting here, even for nothing, sends the
        // piece before.
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
                    // An error means that the server is gone, and this task with it.
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
            // Before the last piece, since a client may leave as soon as it has that.
            self.exchange.complete();
        }
        piece.map(|piece| (Ok(Frame::data(piece)), self))
    }
}
