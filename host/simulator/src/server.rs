//! The server: start it, plan failures, look at what arrived, stop it.

use crate::handle::handle;
use crate::line::{Line, ResetFlag};
use crate::log::Seen;
use crate::models::Model;
use crate::plans::{Match, UnknownRow};
use crate::state::{State, locked};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The system is out of file descriptors, most likely: a moment later there may be some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A running server. It stops when it is dropped, or with [`FaultServer::shutdown`].
#[derive(Debug)]
pub struct FaultServer {
    address: SocketAddr,
    state: Arc<State>,
    stop: watch::Sender<()>,
    /// Closed when the last task of the server has ended.
    ended: watch::Receiver<()>,
}

impl FaultServer {
    /// Starts on a free port of 127.0.0.1, on the tokio runtime of the caller.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on an address; port 0 stands for a free one.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new());
        let (stop, stopped) = watch::channel(());
        let (end, ended) = watch::channel(());
        tokio::spawn(accept(listener, Arc::clone(&state), stopped, end));
        Ok(Self { address, state, stop, ended })
    }

    /// `http://127.0.0.1:PORT`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: the port is closed and every connection is gone when this returns. What was seen can still be read.
    pub async fn shutdown(&self) {
        self.stop();
        // Nothing is ever sent: the only news is the end.
        let _ = self.ended.clone().changed().await;
    }

    fn stop(&self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        self.stop.send_replace(());
    }

    /// The next requests that match get these steps, one each: names of rows, or [`crate::HEALTHY_STEP`]. Plans for the
    /// same requests are used up in the order in which they were made.
    pub fn plan(&self, requests: Match<'_>, steps: &[&str]) -> Result<(), UnknownRow> {
        locked(&self.state.plans).plan(requests, steps)
    }

    /// All requests that match get this row (or [`crate::HEALTHY_STEP`]) where no plan has a step for them. Replaces what
    /// was said before for the same match.
    pub fn always(&self, requests: Match<'_>, step: &str) -> Result<(), UnknownRow> {
        locked(&self.state.plans).always(requests, step)
    }

    /// Forgets all plans, and which cold loads are over.
    pub fn clear(&self) {
        locked(&self.state.plans).clear();
        self.state.forget_cold_loads();
    }

    /// The models that there are: names (`"qwen3:8b"`) or whole [`Model`]s.
    pub fn set_models<M: Into<Model>>(&self, models: impl IntoIterator<Item = M>) {
        *locked(&self.state.models) = models.into_iter().map(Into::into).collect();
    }

    /// The time before each token of a stream; zero at first.
    pub fn set_token_interval(&self, interval: Duration) {
        *locked(&self.state.token_interval) = interval;
    }

    /// How long the first healthy request for a model waits for its headers, and how long the row `cold-load` does; zero
    /// at first: then models are in memory at once, and `cold-load` waits for [`FaultServer::release_loads`].
    pub fn set_load_time(&self, time: Duration) {
        *locked(&self.state.load_time) = time;
    }

    /// Whether new connections are reset as soon as they are accepted, before a request is read.
    pub fn set_reset_on_accept(&self, reset: bool) {
        self.state.reset_on_accept.store(reset, Ordering::SeqCst);
    }

    /// Lets all answers that hang or stall at this moment go on. One whose request is in the log is released.
    pub fn release(&self) {
        self.state.holds.send_replace(());
    }

    /// Ends all cold loads that are going on at this moment. One whose request is in the log is ended.
    pub fn release_loads(&self) {
        self.state.loads.send_replace(());
    }

    /// How many loads were lost because the client left.
    pub fn loads_aborted(&self) -> usize {
        self.state.loads_aborted.load(Ordering::SeqCst)
    }

    /// How often models were loaded, or loaded again with another window.
    pub fn model_loads(&self) -> usize {
        self.state.model_loads.load(Ordering::SeqCst)
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.log.all()
    }

    /// How many requests a path has had.
    pub fn count(&self, path: &str) -> usize {
        self.state.log.count(path)
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Waits until a path has had so many requests.
    pub async fn wait_for(&self, path: &str, requests: usize) {
        self.wait_until(|server| server.count(path) >= requests).await;
    }

    /// Waits until something is true of this server's requests, connections or aborted loads. It has no limit of time.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changed = self.state.log.changed.subscribe();
        while !condition(self) {
            if changed.changed().await.is_err() {
                return; // cannot happen: the sender lives as long as `self`
            }
        }
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Accepts until told to stop; `_end` closes when all is over.
async fn accept(listener: TcpListener, state: Arc<State>, mut stopped: watch::Receiver<()>, _end: watch::Sender<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    state.connections.fetch_add(1, Ordering::SeqCst);
                    state.log.changed.send_replace(());
                    connections.spawn(serve(stream, Arc::clone(&state)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    // Without this, small pieces of a stream would be held back and joined. A dead socket shows at the first read.
    let _ = stream.set_nodelay(true);
    let reset = ResetFlag::default();
    let line = Line::new(stream, Arc::clone(&reset));
    if state.reset_on_accept.load(Ordering::SeqCst) {
        reset.store(true, Ordering::SeqCst);
        return;
    }
    let service = service_fn(move |request| handle(Arc::clone(&state), Arc::clone(&reset), request));
    // An error is either the client's leaving, which the log shows, or a failure that was replayed.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(line), service).await;
}
