//! What a policy's imports are linked with: nothing, or a WASI in which there is nothing.

use super::error::PolicyError;
use super::limits::Limits;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// The linker for a policy. Without WASI it is empty: that is the capability proof.
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

/// Does work that may call WASI. What answers those calls drives futures of tokio's, which panics on a thread that drives some already: there
/// the work is done on a thread of its own.
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
