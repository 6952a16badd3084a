//! Links a policy's imports: nothing, or an empty WASI.

use super::error::PolicyError;
use super::limits::Limits;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// The linker, empty without WASI: the proof that a policy has no capabilities.
pub(crate) fn linker(engine: &Engine, wasi: bool) -> wasmtime::Result<Linker<Limits>> {
    #[allow(unused_mut, reason = "only a policy that is allowed WASI fills it")]
    let mut linker = Linker::new(engine);
    #[cfg(feature = "wasi")]
    if wasi {
        super::wasi::add_to_linker(&mut linker)?;
    }
    #[cfg(not(feature = "wasi"))]
    let _ = wasi;
    Ok(linker)
}

/// Does work that may call WASI. WASI blocks on tokio, which panics on tokio's own threads: there the work gets another
/// thread.
#[inline]
pub(crate) fn apart<R: Send>(wasi: bool, work: impl FnOnce() -> R + Send) -> Result<R, PolicyError> {
    if !wasi || tokio::runtime::Handle::try_current().is_err() {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let failed = |detail: String| PolicyError::Trapped { function: "WASI", trap: detail };
        let thread = std::thread::Builder::new().name("upright-wasi".into()).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| failed(format!("no thread can be started: {error}")))?;
        thread.join().map_err(|_| failed("the host panicked".into()))
    })
}
