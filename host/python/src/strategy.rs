//! Retry strategies.

use crate::breaker::{Breaker, unusable};
use crate::driver::{Hook, is_coroutine, span};
use crate::policy::PolicySlot;
use arc_swap::ArcSwap;
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;
use upright_core::RetryStrategy;
use upright_core::types::RetryConfig;

static GO_ON: Hook = Hook::new("go_on");
static BEGIN: Hook = Hook::new("begin");
static AWAIT_FIRST: Hook = Hook::new("await_first");

/// How an operation is retried. Its methods may be called from any thread.
#[pyclass(frozen, subclass, module = "upright._native")]
pub(crate) struct Strategy {
    strategy: ArcSwap<RetryStrategy>,
}

impl Strategy {
    pub(crate) fn shared(&self) -> RetryStrategy {
        (**self.strategy.load()).clone()
    }

    /// Makes the first attempt without a run: nearly all calls end here.
    pub(crate) fn first<'py>(
        slf: &Bound<'py, Self>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        fallback: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let strategy = slf.get().strategy.load();
        let breaker = strategy.breaker();
        let passes = breaker.map(upright_core::CircuitBreaker::passes);
        if passes == Some(None) || !is_simple(&strategy) {
            drop(strategy);
            return BEGIN.get(py)?.call1((slf, func, args, kwargs, fallback));
        }
        let generation = passes.flatten();
        match func.call(args, kwargs) {
            Ok(result) if is_coroutine(&result)? => {
                drop(strategy);
                AWAIT_FIRST.get(py)?.call1((slf, generation, result, func, args, kwargs, fallback))
            }
            Ok(result) => {
                if let (Some(breaker), Some(generation)) = (breaker, generation) {
                    breaker.passed(generation);
                }
                Ok(result)
            }
            Err(error) if error.is_instance_of::<PyException>(py) => {
                drop(strategy);
                GO_ON.get(py)?.call1((slf, generation, error.value(py), func, args, kwargs, fallback))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the first attempt is no more than a call.
fn is_simple(strategy: &RetryStrategy) -> bool {
    let settings = &strategy.shared().settings;
    strategy.shared().is_simple() && settings.deadline.is_none() && settings.attempt_timeout.is_none()
}

#[pymethods]
impl Strategy {
    #[new]
    #[pyo3(signature = (*_arguments, **_settings))]
    fn new(_arguments: &Bound<'_, PyTuple>, _settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let strategy = RetryStrategy::builder().use_circuit_breaker(false).build().map_err(|error| unusable(&error))?;
        Ok(Self { strategy: ArcSwap::from_pointee(strategy) })
    }

    /// Sets all settings. Times are seconds.
    #[pyo3(signature = (
        name, *, max_retries, base_delay, max_delay, backoff_factor, jitter, jitter_range, breaker = None, attempt_timeout = None,
        deadline = None, idempotent = true, policy = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn _configure(
        &self,
        name: String,
        max_retries: u32,
        base_delay: f64,
        max_delay: f64,
        backoff_factor: f64,
        jitter: bool,
        jitter_range: (f64, f64),
        breaker: Option<&Bound<'_, Breaker>>,
        attempt_timeout: Option<f64>,
        deadline: Option<f64>,
        idempotent: bool,
        policy: Option<&Bound<'_, PolicySlot>>,
    ) -> PyResult<()> {
        let mut config = RetryConfig { max_retries, base_delay, max_delay, backoff_factor, jitter, ..RetryConfig::default() };
        (config.jitter_range.low, config.jitter_range.high) = jitter_range;
        let mut builder = RetryStrategy::builder().name(name).config(config).idempotent(idempotent);
        builder = match breaker {
            Some(breaker) => builder.breaker(breaker.get().shared()),
            None => builder.use_circuit_breaker(false),
        };
        if let Some(policy) = policy {
            builder = builder.policy(policy.get().slot());
        }
        if let Some(limit) = attempt_timeout {
            builder = builder.attempt_timeout(span("attempt_timeout", limit)?);
        }
        if let Some(limit) = deadline {
            builder = builder.deadline(span("deadline", limit)?);
        }
        self.strategy.store(Arc::new(builder.build().map_err(|error| unusable(&error))?));
        Ok(())
    }

    #[getter]
    fn _max_retries(&self) -> u32 {
        self.strategy.load().config().max_retries
    }

    /// Seconds to wait after an attempt failed; the first attempt is 0.
    fn delay(&self, attempt: u32) -> f64 {
        self.strategy.load().delay(attempt).as_secs_f64()
    }

    /// Calls `func` with these arguments, with retries. `fallback` gets the same arguments where nothing else helps.
    /// A fallback that cannot be called is the result itself.
    ///
    /// Raises the function's own last exception.
    #[pyo3(signature = (func, *args, fallback = None, **kwargs))]
    fn execute<'py>(
        slf: &Bound<'py, Self>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        fallback: Option<&Bound<'py, PyAny>>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::first(slf, func, args, kwargs, fallback)
    }

    /// The generation in which a call passes the breaker, for a first attempt without a run; `False` where a run must
    /// ask, `None` without a breaker.
    fn _passes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let strategy = self.strategy.load();
        let passes = strategy.breaker().map(upright_core::CircuitBreaker::passes);
        match passes {
            _ if !is_simple(&strategy) => false.into_bound_py_any(py),
            None => Ok(py.None().into_bound(py)),
            Some(None) => false.into_bound_py_any(py),
            Some(Some(generation)) => generation.into_bound_py_any(py),
        }
    }

    /// A call that passed the breaker in this generation succeeded.
    fn _passed(&self, generation: Option<u64>) {
        if let (Some(breaker), Some(generation)) = (self.strategy.load().breaker(), generation) {
            breaker.passed(generation);
        }
    }
}
