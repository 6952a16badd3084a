//! An empty WASI, since CPython and SpiderMonkey import WASI even if unused.
//!
//! Decisions stay pure: nothing can be read, output is discarded, the clock stands still, random numbers restart.
//! Waiting fails: the time limit is CPU time, of which a sleeping thread takes none.

use super::limits::Limits;
use std::time::Duration;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{StoreContextMut, error::format_err};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

const SEED: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834;

/// Must match the version of `wasmtime-wasi`.
const TIMERS: &str = "wasi:clocks/monotonic-clock@0.2.12";

/// Maximum bytes per request.
const MOST_RANDOM_BYTES: u64 = 64 << 10;

/// Maximum handles; each takes host memory.
const MOST_HANDLES: usize = 1024;

pub(crate) struct Sandbox {
    /// Created on first use, which is rare.
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
    /// Restarts the random numbers, so that equal arguments meet equal ones.
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

/// Files, environment, arguments and streams are absent by default.
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

/// Stands at 1970-01-01T00:00:00Z.
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

/// WASI 0.2, with timers that fail.
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
