//! The server: starts, plans failures, reports requests, stops.

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

/// Lets the system recover, most likely from a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A running server. Dropping it or [`FaultServer::shutdown`] stops it.
#[derive(Debug)]
pub struct FaultServer {
    address: SocketAddr,
    state: Arc<State>,
    stop: watch::Sender<()>,
    ended: watch::Receiver<()>,
}

impl FaultServer {
    /// Starts on a free port of 127.0.0.1, on the caller's tokio runtime.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on an address; port 0 chooses a free one.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new());
        let (stop, stopped) = watch::channel(());
        let (end, ended) = watch::channel(());
        tokio::spawn(accept(listener, Arc::clone(&state), stopped, end));
        Ok(Self { address, state, stop, ended })
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server. Returns when port and connections are closed. Recorded requests stay readable.
    pub async fn shutdown(&self) {
        self.stop();
        // The only change is the end.
        let _ = self.ended.clone().changed().await;
    }

    fn stop(&self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        self.stop.send_replace(());
    }

    /// Gives the next matching requests one step each: names of rows, or [`crate::HEALTHY_STEP`]. Uses plans in order.
    pub fn plan(&self, requests: Match<'_>, steps: &[&str]) -> Result<(), UnknownRow> {
        locked(&self.state.plans).plan(requests, steps)
    }

    /// Gives matching requests without a planned step this row (or [`crate::HEALTHY_STEP`]). Replaces the previous row.
    pub fn always(&self, requests: Match<'_>, step: &str) -> Result<(), UnknownRow> {
        locked(&self.state.plans).always(requests, step)
    }

    /// Forgets all plans and finished cold loads.
    pub fn clear(&self) {
        locked(&self.state.plans).clear();
        self.state.forget_cold_loads();
    }

    /// Sets the models: names (`"qwen3:8b"`) or [`Model`]s.
    pub fn set_models<M: Into<Model>>(&self, models: impl IntoIterator<Item = M>) {
        *locked(&self.state.models) = models.into_iter().map(Into::into).collect();
    }

    /// Sets the delay before each token of a stream; zero at first.
    pub fn set_token_interval(&self, interval: Duration) {
        *locked(&self.state.token_interval) = interval;
    }

    /// Sets the load time before a model's first headers and of the row `cold-load`. Zero at first: models are in
    /// memory, and `cold-load` waits for [`FaultServer::release_loads`].
    pub fn set_load_time(&self, time: Duration) {
        *locked(&self.state.load_time) = time;
    }

    /// Whether to reset new connections before reading a request.
    pub fn set_reset_on_accept(&self, reset: bool) {
        self.state.reset_on_accept.store(reset, Ordering::SeqCst);
    }

    /// Releases all answers that hang or stall now, if their requests are recorded.
    pub fn release(&self) {
        self.state.holds.send_replace(());
    }

    /// Ends all cold loads in progress, if their requests are recorded.
    pub fn release_loads(&self) {
        self.state.loads.send_replace(());
    }

    /// Number of loads aborted by clients.
    pub fn loads_aborted(&self) -> usize {
        self.state.loads_aborted.load(Ordering::SeqCst)
    }

    /// Number of model loads, including reloads with another window.
    pub fn model_loads(&self) -> usize {
        self.state.model_loads.load(Ordering::SeqCst)
    }

    /// All requests, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.log.all()
    }

    /// Number of requests to a path.
    pub fn count(&self, path: &str) -> usize {
        self.state.log.count(path)
    }

    /// Number of accepted connections.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Waits for this many requests to a path.
    pub async fn wait_for(&self, path: &str, requests: usize) {
        self.wait_until(|server| server.count(path) >= requests).await;
    }

    /// Waits until a condition on requests, connections or aborted loads holds, without a time limit.
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
    // Nagle's algorithm would join small pieces. A dead socket shows at the first read.
    let _ = stream.set_nodelay(true);
    let reset = ResetFlag::default();
    let line = Line::new(stream, Arc::clone(&reset));
    if state.reset_on_accept.load(Ordering::SeqCst) {
        reset.store(true, Ordering::SeqCst);
        return;
    }
    let service = service_fn(move |request| handle(Arc::clone(&state), Arc::clone(&reset), request));
    // The client left, which the log shows, or a failure was replayed.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(line), service).await;
}
