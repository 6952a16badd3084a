//! A worker's connections to clients.

use super::Current;
use super::dispatch::dispatch;
use super::pace::{Pace, Paced};
use crate::config::Listen;
use crate::tls::{Connection, Connector};
use crate::upstream::Pool;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future as _;
use std::net::TcpListener;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::Sleep;

/// Pause after a failed accept: the process may have no descriptor left.
const PAUSE: Duration = Duration::from_millis(50);
/// Maximum time for which a connection that is closed still reads. A socket that is closed with unread bytes is reset,
/// and a client that still sends would lose its answer.
const LINGER: Duration = Duration::from_secs(5);

/// Serves until `stopped`, then until its requests have ended.
pub(super) fn serve(listener: TcpListener, current: Current, connector: Connector, open: Arc<AtomicU32>, stopped: watch::Receiver<bool>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(target: "upright", %error, "a worker cannot start"),
    };
    let local = LocalSet::new();
    // A task of its own: a future that the set runs until its end is polled at every event of every connection.
    local.spawn_local(accept(listener, current, connector, open, stopped));
    runtime.block_on(local);
}

async fn accept(listener: TcpListener, current: Current, connector: Connector, open: Arc<AtomicU32>, mut stopped: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(target: "upright", %error, "a worker cannot listen"),
    };
    let pool = Rc::new(Pool::new(connector));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let most = current.load().config.listen.max_connections;
                // Closed at once: a client sees that at once, too.
                let counted = Counted::of(&open);
                if counted.number > most {
                    continue;
                }
                tokio::task::spawn_local(connection(stream, current.clone(), Rc::clone(&pool), counted, stopped.clone()));
            }
            Err(error) => {
                tracing::warn!(target: "upright", %error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, current: Current, pool: Rc<Pool>, _counted: Counted, mut stopped: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let live = current.load();
    let Listen { head_time, max_head, .. } = live.config.listen;
    let acceptor = live.acceptor.clone();
    drop(live);
    let stream: Box<dyn Connection> = match acceptor {
        None => Box::new(stream),
        Some(acceptor) => match tokio::time::timeout(head_time, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(target: "upright", %error, "a client's TLS handshake failed"),
            Err(_) => return tracing::debug!(target: "upright", "a client's TLS handshake took too long"),
        },
    };
    let (resets, lingers, pace) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(true)), Rc::<Pace>::default());
    let (of_service, of_answers) = (Rc::clone(&resets), Rc::clone(&pace));
    let io = TokioIo::new(Client { stream, resets, pace, lingers: Rc::clone(&lingers), linger: None });
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        // A client of HTTP/1.0 would take a close for the end of its answer.
        of_service.set(request.version() < http::Version::HTTP_11);
        let (live, pool, pace) = (current.load(), Rc::clone(&pool), Rc::clone(&of_answers));
        // hyper keeps room for the future as long as the connection is open, also while an answer streams.
        Box::pin(async move { Ok::<_, Infallible>(dispatch(&live, &pool, request).await.map(|reply| Paced::new(reply, pace))) })
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_time).half_close(false);
    // A head must fit into the buffer; a larger one is answered with 431.
    builder.max_buf_size(usize::try_from(max_head).unwrap_or(usize::MAX));
    let mut connection = pin!(builder.serve_connection(io, service));
    // A failure has reached the client, or the client has gone.
    let _ = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        _ = stopped.wait_for(|stopped| *stopped) => {
            lingers.set(false);
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
}

/// Counts an open connection of the gateway while it lives.
struct Counted {
    open: Arc<AtomicU32>,
    /// Number of open connections with this one.
    number: u32,
}

impl Counted {
    fn of(open: &Arc<AtomicU32>) -> Self {
        Self { number: open.fetch_add(1, Ordering::Relaxed) + 1, open: Arc::clone(open) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client's connection, which is reset at its end where a close would look like the end of an answer.
struct Client {
    stream: Box<dyn Connection>,
    resets: Rc<Cell<bool>>,
    pace: Rc<Pace>,
    /// Whether it reads on after its end, until the client has closed it, too.
    lingers: Rc<Cell<bool>>,
    /// Ends [`LINGER`] after the answer.
    linger: Option<Pin<Box<Sleep>>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.resets.get() {
            // Without it the client sees a close.
            let _ = socket2::SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // hyper flushes when it has written all.
        self.pace.drained();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // Only a proper end comes here, which must not be reset. TLS has a message of its own for it.
        self.resets.set(false);
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.linger = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        let mut space = [0; 16 << 10];
        while self.lingers.get() && self.linger.as_mut().is_some_and(|linger| linger.as_mut().poll(context).is_pending()) {
            let mut unread = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut unread));
            if read.is_err() || unread.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
