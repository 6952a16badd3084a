//! A WASI in which there is nothing, for policies that bring a language's runtime along.
//!
//! CPython and SpiderMonkey import WASI whether a policy uses it or not. So that decisions stay pure there are no files, no environment, no arguments
//! and no network; what is written is discarded; the clock stands still; random numbers begin anew with every decision. Nothing can be
//! waited for: the time of a decision is its thread's time on a processor, and a thread that sleeps uses none.

use super::limits::Limits;
use std::time::Duration;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{StoreContextMut, error::format_err};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

/// Where random numbers begin, at every decision.
const SEED: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834;

/// The interface that timers come from, in the version that `wasmtime-wasi` defines.
const TIMERS: &str = "wasi:clocks/monotonic-clock@0.2.12";

/// A policy may ask for so many random bytes at once.
const MOST_RANDOM_BYTES: u64 = 64 << 10;

/// An instance may hold so many handles at once: each takes memory of the host's.
const MOST_HANDLES: usize = 1024;

/// What a policy sees of WASI.
pub(crate) struct Sandbox {
    /// Made when it is first looked at: most policies never do.
    context: Option<WasiCtx>,
    table: ResourceTable,
}

impl Default for Sandbox {
    fn default() -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_HANDLES);
        Self { context: None, table }
    }
}

impl Sandbox {
    /// Begins a decision: equal arguments shall meet equal random numbers.
    pub(crate) fn begin(&mut self) {
        self.context = None;
    }
}

impl WasiView for Limits {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Sandbox { context, table } = &mut self.sandbox;
        WasiCtxView { ctx: context.get_or_insert_with(empty), table }
    }
}

/// A context with nothing in it. What is not named here is absent from the start: files, environment, arguments, stdin, stdout and stderr.
fn empty() -> WasiCtx {
    let seed = SEED.to_le_bytes().to_vec();
    WasiCtx::builder()
        .secure_random(Deterministic::new(seed.clone()))
        .insecure_random(Deterministic::new(seed))
        .insecure_random_seed(SEED)
        .max_random_size(MOST_RANDOM_BYTES)
        .wall_clock(Stopped)
        .monotonic_clock(Stopped)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// A clock that stands at 1970-01-01T00:00:00Z.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Defines WASI 0.2.
pub(crate) fn add_to_linker(linker: &mut Linker<Limits>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut timers = linker.instance(TIMERS)?;
    for function in ["subscribe-instant", "subscribe-duration"] {
        timers.func_wrap(function, |_: StoreContextMut<'_, Limits>, (_,): (u64,)| -> wasmtime::Result<(Resource<DynPollable>,)> {
            Err(format_err!("a policy may not wait for time to pass"))
        })?;
    }
    linker.allow_shadowing(false);
    Ok(())
}
