//! The functions of the package that go on where native code ends: after a failure.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// A name of a Python module, found once.
pub(crate) struct Hook {
    module: &'static str,
    name: &'static str,
    found: PyOnceLock<Py<PyAny>>,
}

impl Hook {
    pub(crate) const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, found: PyOnceLock::new() }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let find = || py.import(self.module)?.getattr(self.name).map(Bound::unbind);
        Ok(self.found.get_or_try_init(py, find)?.bind(py))
    }
}

static CURRENT: Hook = Hook::new("upright._current", "current");

/// The context variable of the attempt in progress. It is set only in attempts that a run makes.
pub(crate) fn current(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    CURRENT.get(py)
}

static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Whether a call gave a coroutine, so that its outcome is not known yet.
pub(crate) fn is_coroutine(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    let coroutine = COROUTINE.import(result.py(), "types", "CoroutineType")?;
    Ok(result.get_type().is(coroutine))
}

static CIRCUIT_OPEN: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// A `CircuitOpenError` of a breaker with this time left; `None` where it was isolated by hand.
pub(crate) fn circuit_open(py: Python<'_>, open: &upright_core::error::CircuitOpen) -> PyErr {
    let made = || {
        let arguments = (&*open.breaker, open.time_left().map(|left| left.as_secs_f64())).into_pyobject(py)?;
        let kind = CIRCUIT_OPEN.import(py, "upright._errors", "CircuitOpenError")?;
        Ok(PyErr::from_type(kind.clone(), arguments.unbind()))
    };
    made().unwrap_or_else(|error: PyErr| error)
}

/// A span of time from seconds; `ValueError` names the setting where it is none.
pub(crate) fn span(setting: &str, seconds: f64) -> PyResult<std::time::Duration> {
    std::time::Duration::try_from_secs_f64(seconds)
        .map_err(|_| pyo3::exceptions::PyValueError::new_err(format!("{setting} is {seconds}; expected a number of seconds, 0 or more")))
}

/// A number of things; `ValueError` names the setting where it is none.
pub(crate) fn count(setting: &str, number: i64) -> PyResult<u32> {
    u32::try_from(number).map_err(|_| {
        pyo3::exceptions::PyValueError::new_err(format!("{setting} is {number}; expected a whole number from 0 to {}", u32::MAX))
    })
}
