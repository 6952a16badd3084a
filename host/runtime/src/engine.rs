//! The one wasmtime engine of the process, and the ticker that ends decisions which take too long.
//!
//! A policy is somebody's code: it may loop for ever. Epoch interruption stops it at a few nanoseconds' cost a call, if something advances
//! the epoch; a thread does, every millisecond, while decisions are being made, and sleeps otherwise: an idle program wakes nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;
use wasmtime::{Config, Engine};

/// How long one epoch lasts while decisions are being made.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// After so many ticks without a decision the ticker goes to sleep.
const IDLE_TICKS: u32 = 64;

/// The engine and its ticker.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    ticker: Ticker,
}

struct Ticker {
    shared: Arc<TickerState>,
    thread: Thread,
}

#[derive(Default)]
struct TickerState {
    /// Decisions that were ever begun.
    begun: AtomicU64,
    /// Decisions that were ever ended.
    ended: AtomicU64,
    asleep: AtomicBool,
}

/// A decision that is being made; the epoch advances at least as long as one lives.
pub(crate) struct Running<'a>(&'a TickerState);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}

/// The process's runtime; made at the first use. The error is wasmtime's word on why this machine cannot run it.
pub(crate) fn runtime() -> Result<&'static Runtime, String> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    RUNTIME.get_or_init(Runtime::start).as_ref().map_err(Clone::clone)
}

impl Runtime {
    fn start() -> Result<Self, String> {
        let engine = Engine::new(&configuration()).map_err(|error| format!("{error:#}"))?;
        let shared = Arc::new(TickerState::default());
        let for_thread = (engine.clone(), Arc::clone(&shared));
        let spawned = thread::Builder::new().name("upright-epoch".into()).spawn(move || tick(&for_thread.0, &for_thread.1));
        let ticker = match spawned {
            Ok(handle) => Ticker { shared, thread: handle.thread().clone() },
            Err(error) => return Err(format!("cannot start the thread that ends long decisions: {error}")),
        };
        Ok(Self { engine, ticker })
    }

    /// Keeps the epoch advancing until the answer is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        let ticker = &self.ticker;
        ticker.shared.begun.fetch_add(1, Ordering::SeqCst);
        if ticker.shared.asleep.load(Ordering::SeqCst) {
            ticker.thread.unpark();
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
            // A decision that began before the flag was seen is in the counter; one that begins later unparks.
            while state.begun.load(Ordering::SeqCst) == seen {
                thread::park();
            }
            state.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}

/// How policies run; what else is wanted of an engine is added to this.
pub(super) fn configuration() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Support for concurrent component calls makes each call three times as dear, and decisions are plain calls.
        .concurrency_support(false)
        .epoch_interruption(true)
        // Equal arguments shall give equal answers to the bit, on any machine.
        .cranelift_nan_canonicalization(true)
        // Reserving the whole 32-bit space makes bounds checks free; it is address space, not memory.
        .memory_reservation(4 << 30)
        .max_wasm_stack(256 << 10)
        // Traps are reported by their code; nobody sees frames of a policy.
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false);
    config.wasm_relaxed_simd(false);
    config
}
