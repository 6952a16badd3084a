//! The process's wasmtime engine, and the ticker that ends long decisions.
//!
//! Epoch interruption costs a few nanoseconds a call. A thread advances the epoch every millisecond during decisions,
//! and otherwise sleeps.

use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;
use wasmtime::{Config, Engine};

pub(crate) const TICK: Duration = Duration::from_millis(1);

const IDLE_TICKS: u32 = 64;

pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    ticker: Ticker,
}

struct Ticker {
    shared: Arc<TickerState>,
    /// Another one in a forked child.
    thread: ArcSwap<Thread>,
}

#[derive(Default)]
struct TickerState {
    begun: AtomicU64,
    ended: AtomicU64,
    asleep: AtomicBool,
}

/// The epoch advances while one exists.
pub(crate) struct Running<'a>(&'a TickerState);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}

static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();

/// The error says why wasmtime cannot run here.
pub(crate) fn runtime() -> Result<&'static Runtime, String> {
    RUNTIME.get_or_init(Runtime::start).as_ref().map_err(Clone::clone)
}

/// Starts the thread again that ends long decisions. A forked child has none, whatever its parent had.
#[doc(hidden)]
pub fn after_fork_in_child() {
    let Some(Ok(runtime)) = RUNTIME.get() else { return };
    let Ticker { shared, thread } = &runtime.ticker;
    shared.asleep.store(false, Ordering::SeqCst);
    match start_ticking(&runtime.engine, shared) {
        Ok(started) => thread.store(Arc::new(started)),
        Err(error) => tracing::error!(target: "upright", %error, "a forked process gets no thread: its decisions have no limit of time"),
    }
}

fn start_ticking(engine: &Engine, shared: &Arc<TickerState>) -> std::io::Result<Thread> {
    let for_thread = (engine.clone(), Arc::clone(shared));
    let spawned = thread::Builder::new().name("upright-epoch".into()).spawn(move || tick(&for_thread.0, &for_thread.1))?;
    Ok(spawned.thread().clone())
}

impl Runtime {
    fn start() -> Result<Self, String> {
        let engine = Engine::new(&configuration()).map_err(|error| format!("{error:#}"))?;
        let shared = Arc::new(TickerState::default());
        match start_ticking(&engine, &shared) {
            Ok(thread) => Ok(Self { engine, ticker: Ticker { shared, thread: ArcSwap::from_pointee(thread) } }),
            Err(error) => Err(format!("cannot start the thread that ends long decisions: {error}")),
        }
    }

    pub(crate) fn running(&self) -> Running<'_> {
        let ticker = &self.ticker;
        ticker.shared.begun.fetch_add(1, Ordering::SeqCst);
        if ticker.shared.asleep.load(Ordering::SeqCst) {
            ticker.thread.load().unpark();
        }
        Running(&ticker.shared)
    }
}

fn tick(engine: &Engine, state: &TickerState) {
    let (mut idle, mut seen) = (0, 0);
    loop {
        thread::sleep(TICK);
        engine.increment_epoch();
        let begun = state.begun.load(Ordering::SeqCst);
        let busy = begun != seen || begun != state.ended.load(Ordering::Acquire);
        idle = if busy { 0 } else { idle + 1 };
        seen = begun;
        if idle >= IDLE_TICKS {
            state.asleep.store(true, Ordering::SeqCst);
            // Decisions that began earlier are counted; later ones unpark this thread.
            while state.begun.load(Ordering::SeqCst) == seen {
                thread::park();
            }
            state.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}

pub(super) fn configuration() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Concurrency support triples the cost of a call.
        .concurrency_support(false)
        .epoch_interruption(true)
        // Equal arguments give bit-equal answers on any machine.
        .cranelift_nan_canonicalization(true)
        // Makes bounds checks free, and takes address space rather than memory.
        .memory_reservation(4 << 30)
        .max_wasm_stack(256 << 10)
        // Traps are reported by code, without frames.
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false);
    config.wasm_relaxed_simd(false);
    config
}
