//! A component that does nothing: the minimum cost of a call into WebAssembly.

use anyhow::{Result, anyhow};
use wasmtime::component::{Component, InstancePre, Linker, TypedFunc};
use wasmtime::{Config, Engine, Store};

const TEXT: &str = r#"(component
    (core module $module (func (export "nothing")))
    (core instance $instance (instantiate $module))
    (func (export "nothing") (canon lift (core func $instance "nothing"))))"#;

#[derive(Clone)]
pub(super) struct Empty {
    ready: InstancePre<()>,
}

pub(super) struct Instance {
    store: Store<()>,
    function: TypedFunc<(), ()>,
}

impl Empty {
    pub(super) fn new() -> Result<Self> {
        let bytes = wat::parse_str(TEXT)?;
        let compile = || -> wasmtime::Result<_> {
            let engine = Engine::new(&configuration())?;
            let component = Component::from_binary(&engine, &bytes)?;
            Linker::new(&engine).instantiate_pre(&component)
        };
        Ok(Self { ready: compile().map_err(|error| anyhow!("{error:#}"))? })
    }

    pub(super) fn instance(&self) -> wasmtime::Result<Instance> {
        let mut store = Store::new(self.ready.engine(), ());
        store.set_epoch_deadline(u64::MAX / 2);
        let function = self.ready.instantiate(&mut store)?.get_typed_func(&mut store, "nothing")?;
        Ok(Instance { store, function })
    }
}

impl Instance {
    pub(super) fn call(&mut self) -> bool {
        self.function.call(&mut self.store, ()).is_ok()
    }
}

/// Equals `host/runtime/src/engine.rs`.
fn configuration() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .memory_reservation(4 << 30)
        .max_wasm_stack(256 << 10)
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false);
    config.wasm_relaxed_simd(false);
    config
}
