//! Functions under guard.

use crate::driver::Hook;
use crate::strategy::Strategy;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

static GETATTR: Hook = Hook::new("builtins", "getattr");

/// A function under guard. Its success path is native.
///
/// Where `through` is true, the function guards itself, and this object only binds it as a method.
#[pyclass(frozen, subclass, dict, weakref, module = "upright._native")]
pub(crate) struct Guarded {
    func: Py<PyAny>,
    terms: Py<PyAny>,
    strategy: Py<Strategy>,
    accept: Option<Py<PyAny>>,
    through: bool,
    binds_class: bool,
}

#[pymethods]
impl Guarded {
    #[new]
    #[pyo3(signature = (func, terms, *, through = false, binds_class = false))]
    fn new(func: Py<PyAny>, terms: &Bound<'_, PyAny>, through: bool, binds_class: bool) -> PyResult<Self> {
        let strategy = terms.getattr("strategy")?.cast_into::<Strategy>()?.unbind();
        let accept = Some(terms.getattr("accept")?).filter(|accept| !accept.is_none()).map(Bound::unbind);
        Ok(Self { func, terms: terms.clone().unbind(), strategy, accept, through, binds_class })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let func = self.func.bind(py);
        if self.through {
            return func.call(args, kwargs);
        }
        let accept = self.accept.as_ref().map(|accept| accept.bind(py));
        Strategy::first(self.strategy.bind(py), func, args, kwargs, accept, || Ok(self.terms.bind(py).clone()))
    }

    /// Binds it to an object, as a method.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let receiver = match owner {
            Some(owner) if slf.get().binds_class => owner,
            _ if instance.is_none() => return Ok(slf.clone().into_any()),
            _ => instance,
        };
        let bound = Bound::new(slf.py(), BoundGuarded { func: slf.clone().unbind(), receiver: receiver.clone().unbind() })?;
        Ok(bound.into_any())
    }

    #[getter]
    fn _terms(&self, py: Python<'_>) -> Py<PyAny> {
        self.terms.clone_ref(py)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.func)?;
        visit.call(&self.terms)?;
        visit.call(&self.strategy)?;
        visit.call(&self.accept)
    }
}

// A method under guard, of one object. Its attributes are the function's: a comment for Rust's documentation would
// become the type's text in Python, and hide the function's.
#[pyclass(frozen, weakref, module = "upright._native")]
pub(crate) struct BoundGuarded {
    func: Py<Guarded>,
    receiver: Py<PyAny>,
}

impl BoundGuarded {
    fn bind<'py>(&self, func: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let receiver = self.receiver.bind(func.py());
        func.call_method1("__get__", (receiver, receiver.get_type()))
    }
}

#[pymethods]
impl BoundGuarded {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let all = std::iter::once(self.receiver.bind(py).clone()).chain(args.iter());
        self.func.get().__call__(py, &PyTuple::new(py, all.collect::<Vec<_>>())?, kwargs)
    }

    /// The function.
    #[getter]
    fn __func__(&self, py: Python<'_>) -> Py<Guarded> {
        self.func.clone_ref(py)
    }

    /// The object.
    #[getter]
    fn __self__(&self, py: Python<'_>) -> Py<PyAny> {
        self.receiver.clone_ref(py)
    }

    /// The method without its guard.
    #[getter]
    fn __wrapped__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let wrapped = self.func.bind(py).getattr("__wrapped__")?;
        match wrapped.hasattr("__get__")? {
            true => self.bind(&wrapped),
            false => Ok(wrapped),
        }
    }

    #[getter]
    fn __doc__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.func.bind(py).getattr("__doc__")
    }

    /// The method under a guard with other options.
    #[pyo3(signature = (**changes))]
    fn with_options<'py>(&self, py: Python<'py>, changes: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        self.bind(&self.func.bind(py).call_method("with_options", (), changes)?)
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.func.bind(py).getattr(name)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> bool {
        let same = |other: &Bound<'_, Self>| self.func.is(&other.get().func) && self.receiver.bind(py).is(&other.get().receiver);
        other.cast::<Self>().is_ok_and(same)
    }

    fn __hash__(&self) -> isize {
        (self.func.as_ptr() as isize) ^ (self.receiver.as_ptr() as isize).rotate_left(4)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<guarded method {} of {}>", self.func.bind(py).getattr("__qualname__")?, self.receiver.bind(py).repr()?))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let name = self.func.bind(py).getattr("__name__")?;
        (GETATTR.get(py)?.clone(), (self.receiver.clone_ref(py), name)).into_pyobject(py)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.func)?;
        visit.call(&self.receiver)
    }
}
