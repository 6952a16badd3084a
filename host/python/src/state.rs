//! State that outlives the process: checkpoints and breakers in a store.

use crate::clock::clock;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;
use upright_core::breaker::{BreakerSharing, Keeping};
use upright_core::checkpoints::Checkpoints;
use upright_core::error::StoreError;
use upright_core::store::{Store, background};
use upright_state::StateAddress;

fn failed(error: &StoreError) -> PyErr {
    match error {
        StoreError::AddressInvalid { .. }
        | StoreError::KeyInvalid { .. }
        | StoreError::NotSerializable { .. }
        | StoreError::ValueTooLarge { .. } => PyValueError::new_err(error.to_string()),
        StoreError::Forked { .. } => PyRuntimeError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// A store that programs of this machine share: a file's path, or `:memory:`. Without an address it is the user's one
/// state, which the command has, too.
///
/// A forked child cannot use a store that its parent opened: `RuntimeError`.
#[pyclass(frozen, module = "upright._native")]
pub(crate) struct State {
    address: String,
    checkpoints: Checkpoints,
    store: Arc<dyn Store>,
    sharing: BreakerSharing,
    keeping: Mutex<Option<Keeping>>,
    /// Number of the process that opened it.
    process: u32,
}

impl State {
    pub(crate) fn sharing(&self) -> BreakerSharing {
        self.sharing.clone()
    }

    /// Takes the task that keeps breakers. In a forked child there is none to wait for.
    fn own_keeping(&self) -> Option<Keeping> {
        let is_own = self.process == std::process::id();
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| is_own)
    }
}

/// The result of a future that the store's own thread serves, while Python runs on.
fn waited<T: Send>(py: Python<'_>, future: impl Future<Output = Result<T, StoreError>> + Send) -> PyResult<T> {
    let runtime = background::runtime().map_err(|error| PyOSError::new_err(error.to_string()))?;
    py.detach(|| runtime.block_on(future)).map_err(|error| failed(&error))
}

#[pymethods]
impl State {
    #[new]
    #[pyo3(signature = (address = None))]
    fn new(py: Python<'_>, address: Option<&str>) -> PyResult<Self> {
        let address = address.map_or_else(StateAddress::of_this_user, str::parse).map_err(|error| failed(&error))?;
        let store = waited(py, address.open_with_clock(clock()))?;
        let sharing = BreakerSharing::new(clock());
        let keeping = py.detach(|| sharing.keep(Arc::clone(&store)));
        let checkpoints = Checkpoints::with_clock(Arc::clone(&store), clock());
        Ok(Self {
            address: address.to_string(),
            checkpoints,
            store,
            sharing,
            keeping: Mutex::new(Some(keeping)),
            process: std::process::id(),
        })
    }

    /// Its address, without a password.
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    /// Saves a checkpoint, given as JSON. It is on the disk when this returns.
    fn save(&self, py: Python<'_>, key: &str, json: String) -> PyResult<()> {
        let json =
            RawValue::from_string(json).map_err(|error| PyValueError::new_err(format!("the state of {key:?} is not JSON: {error}")))?;
        waited(py, self.checkpoints.at(key).save(&json)).map(drop)
    }

    /// A checkpoint as JSON, and when it was saved, seconds since 1970; `None` if absent.
    fn load(&self, py: Python<'_>, key: &str) -> PyResult<Option<(String, f64)>> {
        let restored = waited(py, async {
            let Some(json) = self.checkpoints.at(key).restore::<Box<RawValue>>().await? else { return Ok(None) };
            let entry = self.store.get(&format!("checkpoint/{key}")).await?;
            Ok(Some((json, entry.map(|entry| entry.modified))))
        })?;
        Ok(restored.map(|(json, saved)| {
            let time = saved.and_then(|saved| saved.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            (json.get().to_owned(), time.as_secs_f64())
        }))
    }

    /// Removes a checkpoint. Returns whether it existed.
    fn remove(&self, py: Python<'_>, key: &str) -> PyResult<bool> {
        waited(py, self.checkpoints.at(key).remove())
    }

    /// Keys of all checkpoints, in order.
    fn keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        waited(py, self.checkpoints.list()).map(|listed| listed.into_iter().map(|listed| listed.key).collect())
    }

    /// Removes all checkpoints. Returns their number.
    fn clear(&self, py: Python<'_>) -> PyResult<usize> {
        waited(py, self.checkpoints.clear())
    }

    /// Waits until the store has every breaker's state.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        let Some(keeping) = self.own_keeping() else { return Ok(()) };
        let settled = waited(py, async {
            keeping.settled().await;
            Ok(())
        });
        *self.keeping.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeping);
        settled
    }

    /// Writes what waits, and ends: breakers are alone from now on.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(keeping) = self.own_keeping() else { return Ok(()) };
        waited(py, async {
            keeping.end().await;
            Ok(())
        })
    }
}
