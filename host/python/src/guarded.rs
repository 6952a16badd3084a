//! Functions under guard.

use crate::strategy::Strategy;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// A function under guard. Its success path is native.
#[pyclass(frozen, subclass, dict, weakref, module = "upright._native")]
pub(crate) struct Guarded {
    func: Py<PyAny>,
    strategy: Py<Strategy>,
    fallback: Option<Py<PyAny>>,
}

#[pymethods]
impl Guarded {
    #[new]
    #[pyo3(signature = (func, strategy, fallback = None))]
    fn new(func: Py<PyAny>, strategy: Py<Strategy>, fallback: Option<Py<PyAny>>) -> Self {
        Self { func, strategy, fallback }
    }

    /// Its strategy.
    #[getter]
    fn strategy(&self, py: Python<'_>) -> Py<Strategy> {
        self.strategy.clone_ref(py)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fallback = self.fallback.as_ref().map(|fallback| fallback.bind(py));
        Strategy::first(self.strategy.bind(py), self.func.bind(py), args, kwargs, fallback)
    }

    /// Binds it to an object, as a method.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if instance.is_none() {
            return Ok(slf.clone().into_any());
        }
        METHOD.import(slf.py(), "types", "MethodType")?.call1((slf, instance))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.func)?;
        visit.call(&self.strategy)?;
        visit.call(&self.fallback)
    }
}

static METHOD: pyo3::sync::PyOnceLock<Py<pyo3::types::PyType>> = pyo3::sync::PyOnceLock::new();
