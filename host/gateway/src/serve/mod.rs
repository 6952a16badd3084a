//! Listens for clients: a worker thread for each processor, each with its own runtime, connections and pool.

mod connection;
mod dispatch;

use crate::access::guard::{Guard, Machine};
use crate::access::keys::Keys;
use crate::config::Config;
use crate::hosts::{Hosts, HostsError, Refresher};
use crate::relay::{Counts, Relays};
use crate::upstream::Asker;
use http::HeaderValue;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use tokio::sync::{Semaphore, watch};
use upright_core::PolicySlot;
use upright_core::clock::SystemClock;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is another program using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread or a runtime cannot be made.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] upright_core::error::ConfigurationError),
    /// The hosts cannot be used.
    #[error(transparent)]
    Hosts(#[from] HostsError),
}

/// Unit of the memory for bodies, bytes.
const MEMORY_UNIT: u64 = 1 << 10;

/// One configuration in use. Requests finish under the one that they began with.
pub(crate) struct Live {
    pub(crate) config: Config,
    pub(crate) relays: Relays,
    pub(crate) guard: Guard,
    pub(crate) keys: Keys,
    /// Memory for the bodies of all requests, in units of [`MEMORY_UNIT`]. All workers share it.
    pub(crate) memory: Arc<Semaphore>,
    /// Value of `Via` that names this gateway.
    pub(crate) via: HeaderValue,
    /// Ends the probes of these hosts with the last request.
    _refresher: Refresher,
}

/// The configuration in use, replaced as a whole.
#[derive(Clone)]
pub(crate) struct Current(Arc<RwLock<Arc<Live>>>);

impl Current {
    pub(crate) fn load(&self) -> Arc<Live> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn store(&self, live: Live) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }
}

/// A gateway that serves. Dropping it drains it.
pub struct Gateway {
    address: SocketAddr,
    current: Current,
    policy: PolicySlot,
    counts: Counts,
    recovers: bool,
    /// Known in `Via`, so that a loop is seen.
    id: u64,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    /// Probes and refreshes; `None` once it has ended.
    control: Option<tokio::runtime::Runtime>,
    handle: tokio::runtime::Handle,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Gateway({})", self.address)
    }
}

/// How a gateway is started.
#[derive(Clone, Copy, Debug)]
pub struct StartOptions {
    /// Number of worker threads; 0 for one for each processor.
    pub workers: usize,
    /// Whether failures are recovered from and answers judged; only measurements turn it off.
    pub recovers: bool,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { workers: 0, recovers: true }
    }
}

impl Gateway {
    /// Starts to serve with this configuration, decided by this policy.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config, policy: PolicySlot, options: StartOptions) -> Result<Self, StartError> {
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("upright-control").enable_all().build();
        let control = control.map_err(StartError::Worker)?;
        let counts = Counts::default();
        let id = upright_core::random::unique();
        let live = live(&config, &policy, &counts, options.recovers, id, control.handle())?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if options.workers == 0 { processors } else { options.workers };
        let mut address = config.listen.address;
        let current = Current(Arc::new(RwLock::new(Arc::new(live))));
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::with_capacity(workers);
        for number in 0..workers {
            let listener = listen(address).map_err(|source| StartError::Listen { address, source })?;
            address = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
            let (current, stopped) = (current.clone(), stopped.clone());
            let thread = std::thread::Builder::new().name(format!("upright-serve-{number}"));
            threads.push(thread.spawn(move || connection::serve(listener, &current, stopped)).map_err(StartError::Worker)?);
        }
        Ok(Self {
            address,
            current,
            policy,
            counts,
            recovers: options.recovers,
            id,
            stop,
            workers: threads,
            handle: control.handle().clone(),
            control: Some(control),
        })
    }

    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The configuration in use.
    pub fn config(&self) -> Config {
        self.current.load().config.clone()
    }

    /// Takes another configuration, without dropping a request. What needs a restart is named, and stays as it was.
    ///
    /// # Errors
    /// [`StartError::Setting`]; the configuration stays.
    pub fn reload(&self, config: &Config) -> Result<Vec<&'static str>, StartError> {
        let needed = self.current.load().config.restart_needed(config);
        let mut config = config.clone();
        let old = self.current.load();
        config.listen = old.config.listen.clone();
        let new = live(&config, &self.policy, &self.counts, self.recovers, self.id, &self.handle)?;
        self.current.store(Live { memory: Arc::clone(&old.memory), ..new });
        Ok(needed)
    }

    /// Accepts no more connections, and waits until the requests in flight have ended.
    pub fn drain(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // No worker listens any more if this fails.
        let _ = self.stop.send(true);
        for worker in self.workers.drain(..) {
            // A panic was reported by its own thread.
            let _ = worker.join();
        }
        if let Some(control) = self.control.take() {
            // Its tasks may be dropped at any time, also from within another runtime.
            control.shutdown_background();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

fn live(
    config: &Config,
    policy: &PolicySlot,
    counts: &Counts,
    recovers: bool,
    id: u64,
    control: &tokio::runtime::Handle,
) -> Result<Live, StartError> {
    let hosts = Arc::new(Hosts::new(config, SystemClock::shared())?);
    let asker = Arc::new(Asker { connect: config.limits.connect });
    let refresher = Refresher::start(control, hosts.all(), &asker, hosts.clock());
    let relays = Relays::new(config, policy, hosts, counts.clone())?;
    let relays = if recovers { relays } else { relays.without_recovery() };
    let machine = Machine { name: std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_owned(), addresses: Vec::new() };
    Ok(Live {
        guard: Guard::new(&config.access, config.listen.address, &machine),
        keys: Keys::new(&config.access.keys),
        memory: Arc::new(Semaphore::new(units(config.listen.max_body_memory).min(Semaphore::MAX_PERMITS))),
        via: HeaderValue::from_str(&format!("1.1 upright-{:016x}", id)).unwrap_or(HeaderValue::from_static("1.1 upright")),
        config: config.clone(),
        relays,
        _refresher: refresher,
    })
}

/// Number of units of memory for this many bytes.
fn units(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(usize::MAX)
}

/// Each worker has a listener of its own on the same address: the kernel spreads the connections.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // Not on Windows, where it would let another program take the address over.
    #[cfg(unix)]
    {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}
