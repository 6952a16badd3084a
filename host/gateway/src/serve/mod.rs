//! Listens for clients: a worker thread for each processor, each with its own runtime, connections and pool.

mod connection;
mod dispatch;
mod pace;
mod pass;
mod refusal;
mod unpack;

use crate::access::guard::{Guard, Machine};
use crate::access::keys::Keys;
use crate::config::{Config, Listen, SettingError};
use crate::hosts::{Hosts, HostsError, Refresher};
use crate::relay::{Counts, Relays};
use crate::tls::{self, Acceptor, Connector};
use crate::upstream::Asker;
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread::JoinHandle;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, watch};
use upright_core::PolicySlot;
use upright_core::breaker::BreakerSharing;
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
    /// TLS cannot be had as a setting asks for it.
    #[error(transparent)]
    Tls(#[from] SettingError),
    /// The hosts cannot be used.
    #[error(transparent)]
    Hosts(#[from] HostsError),
}

/// Unit of the memory for bodies, bytes.
const MEMORY_UNIT: u64 = 1 << 10;

/// One configuration in use. Requests finish under the one that they began with.
pub(crate) struct Live {
    pub(crate) config: Config,
    /// TLS of new connections; `None` for a listener without TLS.
    pub(crate) acceptor: Option<Acceptor>,
    pub(crate) relays: Arc<Relays>,
    /// Whether answers are judged and failures recovered from.
    pub(crate) recovers: bool,
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
pub(crate) struct Current(Arc<ArcSwap<Live>>);

impl Current {
    pub(crate) fn load(&self) -> Arc<Live> {
        self.0.load_full()
    }

    fn store(&self, live: Live) {
        self.0.store(Arc::new(live));
    }
}

/// A gateway that serves. Dropping it drains it.
pub struct Gateway {
    address: SocketAddr,
    current: Current,
    parts: Parts,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    _control: Control,
}

/// The parts that stay through all reloads.
struct Parts {
    policy: PolicySlot,
    sharing: Option<BreakerSharing>,
    counts: Counts,
    connector: Connector,
    recovers: bool,
    /// Known in `Via`, so that a loop is seen.
    id: u64,
    /// Of the control's runtime.
    handle: Handle,
}

/// The runtime of probes and refreshes; `None` once it has ended.
struct Control(Option<Runtime>);

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Its tasks may be dropped at any time, also from within another runtime.
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Gateway({})", self.address)
    }
}

/// How a gateway is started.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Number of worker threads; 0 for one for each processor.
    pub workers: usize,
    /// Whether answers are judged and failures recovered from. Without it each request passes unread to the first host
    /// that can be reached; only measurements turn it off.
    pub recovers: bool,
    /// Shares the breakers with other programs; `None` leaves them in memory.
    pub sharing: Option<BreakerSharing>,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { workers: 0, recovers: true, sharing: None }
    }
}

impl Gateway {
    /// Starts to serve with this configuration, decided by this policy.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config, policy: PolicySlot, options: StartOptions) -> Result<Self, StartError> {
        let connector = Connector::default();
        tls::prepare(&connector, &config.upstreams)?;
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("upright-control").enable_all().build();
        let control = control.map_err(StartError::Worker)?;
        let handle = control.handle().clone();
        // An error below must not wait for its tasks.
        let control = Control(Some(control));
        let StartOptions { workers, recovers, sharing } = options;
        let parts = Parts { policy, sharing, counts: Counts::default(), connector, recovers, id: upright_core::random::unique(), handle };
        let live = parts.live(&config)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if workers == 0 { processors } else { workers };
        let mut address = config.listen.address;
        let current = Current(Arc::new(ArcSwap::from_pointee(live)));
        let (stop, stopped) = watch::channel(false);
        let open = Arc::new(AtomicU32::new(0));
        let mut threads = Vec::with_capacity(workers);
        for number in 0..workers {
            let listener = listen(address).map_err(|source| StartError::Listen { address, source })?;
            address = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
            let (current, connector, open, stopped) = (current.clone(), parts.connector.clone(), Arc::clone(&open), stopped.clone());
            let thread = std::thread::Builder::new().name(format!("upright-serve-{number}"));
            threads.push(thread.spawn(move || connection::serve(listener, current, connector, open, stopped)).map_err(StartError::Worker)?);
        }
        Ok(Self { address, current, parts, stop, workers: threads, _control: control })
    }

    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The configuration in use.
    pub fn config(&self) -> Config {
        self.current.load().config.clone()
    }

    /// Takes another configuration, without dropping a request, and reads the files of TLS again. Returns the names of
    /// changed settings that need a restart: those keep their values.
    ///
    /// # Errors
    /// [`StartError`]; the configuration stays.
    pub fn reload(&self, config: &Config) -> Result<Vec<&'static str>, StartError> {
        tls::prepare(&self.parts.connector, &config.upstreams)?;
        let old = self.current.load();
        let used = &old.config;
        let needed = used.restart_needed(config);
        let listen = Listen { address: used.listen.address, ..config.listen.clone() };
        let shares_memory = listen.max_body_memory == used.listen.max_body_memory;
        let config = Config { listen, journal: used.journal.clone(), ..config.clone() };
        let new = self.parts.live(&config)?;
        self.current.store(if shares_memory { Live { memory: Arc::clone(&old.memory), ..new } } else { new });
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
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

impl Parts {
    fn live(&self, config: &Config) -> Result<Live, StartError> {
        let hosts = Arc::new(Hosts::new(config, &self.policy, SystemClock::shared(), self.sharing.as_ref())?);
        let asker = Arc::new(Asker { connect: config.limits.connect, connector: self.connector.clone() });
        let refresher = Refresher::start(&self.handle, hosts.all(), &asker, hosts.clock());
        let relays = Arc::new(Relays::new(config, &self.policy, hosts, self.counts.clone())?);
        let machine =
            Machine { name: std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_owned(), addresses: Vec::new() };
        Ok(Live {
            acceptor: tls::acceptor(&config.listen)?,
            guard: Guard::new(&config.access, config.listen.address, &machine),
            keys: Keys::new(&config.access.keys),
            memory: Arc::new(Semaphore::new(units(config.listen.max_body_memory).min(Semaphore::MAX_PERMITS))),
            via: HeaderValue::from_str(&format!("1.1 upright-{:016x}", self.id)).unwrap_or(HeaderValue::from_static("1.1 upright")),
            config: config.clone(),
            relays,
            recovers: self.recovers,
            _refresher: refresher,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_an_error_that_names_it_also_within_a_runtime() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.listen.address = other.local_addr().unwrap();
        let error = Gateway::start(config, PolicySlot::native(), StartOptions::default()).unwrap_err();
        assert!(error.to_string().contains(&other.local_addr().unwrap().to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_reload_takes_every_setting_of_the_listener_but_its_address() {
        let mut config = Config::default();
        config.listen.address = "127.0.0.1:0".parse().unwrap();
        let gateway = Gateway::start(config.clone(), PolicySlot::native(), StartOptions { workers: 1, ..StartOptions::default() }).unwrap();
        let listen = Listen {
            address: "127.0.0.1:1".parse().unwrap(),
            max_body: 1,
            max_body_memory: 4096,
            max_head: 9000,
            head_time: std::time::Duration::from_secs(1),
            max_connections: 2,
            max_queue: 3,
            ..config.listen.clone()
        };
        let needed = gateway.reload(&Config { listen: listen.clone(), ..config.clone() }).unwrap();
        assert_eq!(needed, ["listen.address"]);
        assert_eq!(gateway.config().listen, Listen { address: config.listen.address, ..listen });
        assert_eq!(gateway.current.load().memory.available_permits(), 4);
    }
}
