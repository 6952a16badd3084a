//! Keeps an answer from being read much faster than its client reads.
//!
//! hyper takes an answer's pieces until as much waits for the socket as a request's head may have, and a piece may keep
//! the whole buffer that it was read into. A thousand slow clients would hold a hundred megabytes.

use crate::relay::{Aborted, Reply};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// Amount that waits for the socket before an answer is asked for more, bytes.
const AHEAD: usize = 4 << 10;

/// The part of a connection's answers that waits for its socket.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waits: Cell<usize>,
    body: RefCell<Option<Waker>>,
}

impl Pace {
    /// The socket has taken all.
    pub(super) fn drained(&self) {
        self.waits.set(0);
        if let Some(body) = self.body.take() {
            body.wake();
        }
    }
}

/// An answer at its client's pace.
#[derive(Debug)]
pub(super) struct Paced {
    reply: Reply,
    pace: Rc<Pace>,
}

impl Paced {
    pub(super) fn new(reply: Reply, pace: Rc<Pace>) -> Self {
        Self { reply, pace }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        if self.pace.waits.get() >= AHEAD {
            self.pace.body.replace(Some(context.waker().clone()));
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.reply).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.pace.waits.set(self.pace.waits.get() + length);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.reply.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn an_answer_is_asked_for_more_only_when_the_socket_has_taken_what_came() {
        let (pace, woken) = (Rc::<Pace>::default(), Arc::<Woken>::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        for length in [AHEAD, 1 << 20] {
            let mut body = Paced::new(Bytes::from(vec![0; length]).into(), Rc::clone(&pace));
            let frame = Pin::new(&mut body).poll_frame(&mut context);
            assert!(matches!(frame, Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| data.len() == length)));
            let before = woken.0.load(Ordering::SeqCst);
            assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
            assert_eq!(woken.0.load(Ordering::SeqCst), before);
            pace.drained();
            assert_eq!(woken.0.load(Ordering::SeqCst), before + 1);
            assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
        }
    }

    #[test]
    fn small_pieces_are_handed_on_together_until_enough_waits() {
        let pace = Rc::<Pace>::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut pieces = 0;
        while Pin::new(&mut Paced::new(Bytes::from_static(&[0; 100]).into(), Rc::clone(&pace))).poll_frame(&mut context).is_ready() {
            pieces += 1;
        }
        assert_eq!(pieces, AHEAD.div_ceil(100));
    }
}
