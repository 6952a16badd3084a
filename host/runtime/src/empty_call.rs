//! Measures the minimum cost of a call into WebAssembly, with an empty component.

use super::engine::{Runtime, runtime};
use super::error::PolicyError;
use super::policy::one_line;
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{Engine, Store};

static BYTES: &[u8] = include_bytes!("empty_call.wasm");

/// An empty component.
pub struct EmptyCall {
    runtime: &'static Runtime,
    store: Store<()>,
    function: TypedFunc<(), ()>,
}

impl std::fmt::Debug for EmptyCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EmptyCall")
    }
}

impl EmptyCall {
    /// Creates an instance.
    ///
    /// # Errors
    /// [`PolicyError::Compile`] if components cannot run here.
    pub fn new() -> Result<Self, PolicyError> {
        let runtime = runtime().map_err(|detail| PolicyError::Compile { detail })?;
        let (store, function) = set_up(&runtime.engine).map_err(|error| PolicyError::Compile { detail: one_line(&error) })?;
        Ok(Self { runtime, store, function })
    }

    /// Calls the empty function within a time limit.
    ///
    /// # Errors
    /// [`PolicyError::Trapped`], which cannot happen.
    pub fn call(&mut self) -> Result<(), PolicyError> {
        let _running = self.runtime.running();
        self.store.set_epoch_deadline(u64::from(u32::MAX));
        let called = self.function.call(&mut self.store, ());
        called.map_err(|error| PolicyError::Trapped { function: "nothing", trap: one_line(&error) })
    }
}

fn set_up(engine: &Engine) -> wasmtime::Result<(Store<()>, TypedFunc<(), ()>)> {
    let component = Component::from_binary(engine, BYTES)?;
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(u64::from(u32::MAX));
    let function = Linker::new(engine).instantiate(&mut store, &component)?.get_typed_func(&mut store, "nothing")?;
    Ok((store, function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_empty_component_match_its_text() {
        assert_eq!(wat::parse_str(include_str!("empty_call.wat")).unwrap(), BYTES);
    }

    #[test]
    fn the_empty_component_can_be_called_repeatedly() {
        let mut call = EmptyCall::new().unwrap();
        assert!((0..1000).all(|_| call.call().is_ok()));
    }
}
