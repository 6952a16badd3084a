//! Retry strategies.

use crate::attempts::Attempts;
use crate::breaker::{Breaker, unusable};
use crate::clock::clock;
use crate::driver::{Hook, count, is_coroutine, span};
use crate::policy::PolicySlot;
use crate::run::is_in_attempt;
use arc_swap::ArcSwap;
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;
use upright_core::driving::Settings;
use upright_core::types::RetryConfig;
use upright_core::{CircuitBreaker, RetryStrategy};

static BEGIN: Hook = Hook::new("upright._course", "begin");
static DRIVE: Hook = Hook::new("upright._drive", "drive");
static AWAIT_FIRST: Hook = Hook::new("upright._drive", "await_first");
static REJECTED: Hook = Hook::new("upright._errors", "RejectedResultError");
static TERMS: Hook = Hook::new("upright._terms", "Terms");
static OBSERVED: Hook = Hook::new("upright._terms", "observed");

/// How an operation is retried. Its methods may be called from any thread.
#[pyclass(frozen, subclass, module = "upright._native")]
pub(crate) struct Strategy {
    strategy: ArcSwap<RetryStrategy>,
}

impl Strategy {
    pub(crate) fn shared(&self) -> RetryStrategy {
        (**self.strategy.load()).clone()
    }

    /// A call that passed the breaker in this generation succeeded.
    pub(crate) fn passed(&self, generation: Option<u64>) {
        if let Some(generation) = generation
            && let Some(breaker) = self.strategy.load().breaker()
        {
            breaker.passed(generation);
        }
    }

    /// The generation in which a first attempt passes the breaker, without a run; `Some(None)` without a breaker, and
    /// `None` where a run must ask.
    pub(crate) fn first_passes(slf: &Bound<'_, Self>) -> PyResult<Option<Option<u64>>> {
        Self::passes(slf.py(), &slf.get().strategy.load())
    }

    fn passes(py: Python<'_>, strategy: &RetryStrategy) -> PyResult<Option<Option<u64>>> {
        if !is_simple(strategy) || is_in_attempt(py)? {
            return Ok(None);
        }
        Ok(strategy.breaker().map_or(Some(None), |breaker| breaker.passes().map(Some)))
    }

    /// Makes the first attempt without a run: nearly all calls end here.
    pub(crate) fn first<'py>(
        slf: &Bound<'py, Self>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        accept: Option<&Bound<'py, PyAny>>,
        terms: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let strategy = slf.get().strategy.load();
        let Some(generation) = Self::passes(py, &strategy)? else {
            drop(strategy);
            let course = BEGIN.get(py)?.call1((terms()?, false, py.None()))?;
            return DRIVE.get(py)?.call1((course, func, args, kwargs));
        };
        let error = match func.call(args, kwargs) {
            Ok(result) if is_coroutine(&result)? => {
                drop(strategy);
                return AWAIT_FIRST.get(py)?.call1((terms()?, generation, result, func, args, kwargs));
            }
            Ok(result) if accept.map_or(Ok(true), |accept| accept.call1((&result,))?.is_truthy())? => {
                if let (Some(breaker), Some(generation)) = (strategy.breaker(), generation) {
                    breaker.passed(generation);
                }
                return Ok(result);
            }
            Ok(result) => PyErr::from_value(REJECTED.get(py)?.call1((result,))?),
            Err(error) => error,
        };
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        drop(strategy);
        let course = BEGIN.get(py)?.call1((terms()?, generation, error.clone_ref(py).into_value(py)))?;
        if course.is_none() {
            return Err(error);
        }
        // It holds frames, which hold arguments.
        drop(error);
        DRIVE.get(py)?.call1((course, func, args, kwargs))
    }
}

/// Decides by the breaker's policy where no other is given, and by the built-in one without either.
fn built(settings: Settings, breaker: Option<CircuitBreaker>, policy: Option<upright_core::PolicySlot>) -> PyResult<RetryStrategy> {
    let Settings { name, retry, attempt_timeout, deadline, idempotent, .. } = settings;
    let mut builder = RetryStrategy::builder().name(name).config(retry).idempotent(idempotent).clock(clock());
    builder = match breaker {
        Some(breaker) => builder.breaker(breaker),
        None => builder.use_circuit_breaker(false),
    };
    if let Some(policy) = policy {
        builder = builder.policy(policy);
    }
    if let Some(limit) = attempt_timeout {
        builder = builder.attempt_timeout(limit);
    }
    if let Some(limit) = deadline {
        builder = builder.deadline(limit);
    }
    builder.build().map_err(|error| unusable(&error))
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
        max_retries: i64,
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
        let mut retry = RetryConfig {
            max_retries: count("max_retries", max_retries)?,
            base_delay,
            max_delay,
            backoff_factor,
            jitter,
            ..RetryConfig::default()
        };
        (retry.jitter_range.low, retry.jitter_range.high) = jitter_range;
        let settings = Settings {
            name: name.into(),
            retry,
            attempt_timeout: attempt_timeout.map(|limit| span("attempt_timeout", limit)).transpose()?,
            deadline: deadline.map(|limit| span("deadline", limit)).transpose()?,
            idempotent,
            budget: None,
            bulkhead: None,
            hedge: None,
        };
        let policy = policy.map(|policy| policy.get().slot());
        self.strategy.store(Arc::new(built(settings, breaker.map(|breaker| breaker.get().shared()), policy)?));
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
        Self::first(slf, func, args, kwargs, None, || TERMS.get(slf.py())?.call1((slf, fallback)))
    }

    /// `execute`, whose failed attempts `observer` hears of: it is called with each exception and `func`.
    #[pyo3(signature = (observer, func, args, kwargs, fallback))]
    fn _observed<'py>(
        slf: &Bound<'py, Self>,
        observer: &Bound<'py, PyAny>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        fallback: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::first(slf, func, args, kwargs, None, || OBSERVED.get(slf.py())?.call1((slf, fallback, observer, func)))
    }

    /// A loop over the attempts of one operation.
    fn __iter__(slf: Py<Self>) -> Attempts {
        Attempts::over(slf, None)
    }

    /// A loop over the attempts of one operation, which waits in the event loop.
    fn __aiter__(slf: Py<Self>) -> Attempts {
        Attempts::over(slf, None)
    }

    /// This strategy with other settings; both share the breaker.
    #[pyo3(signature = (*, max_retries = None, base_delay = None, max_delay = None, backoff_factor = None, jitter = None))]
    fn _changed(
        &self,
        max_retries: Option<i64>,
        base_delay: Option<f64>,
        max_delay: Option<f64>,
        backoff_factor: Option<f64>,
        jitter: Option<bool>,
    ) -> PyResult<Self> {
        let strategy = self.strategy.load();
        let mut settings = strategy.shared().settings.clone();
        let old = settings.retry;
        settings.retry = RetryConfig {
            max_retries: max_retries.map_or(Ok(old.max_retries), |retries| count("max_retries", retries))?,
            base_delay: base_delay.unwrap_or(old.base_delay),
            max_delay: max_delay.unwrap_or(old.max_delay),
            backoff_factor: backoff_factor.unwrap_or(old.backoff_factor),
            jitter: jitter.unwrap_or(old.jitter),
            ..old
        };
        Ok(Self {
            strategy: ArcSwap::from_pointee(built(
                settings,
                strategy.breaker().cloned(),
                Some(strategy.shared().runtime.policy().clone()),
            )?),
        })
    }

    /// The generation in which a call passes the breaker, for a first attempt without a run; `False` where a run must
    /// ask, `None` without a breaker.
    fn _passes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match Self::first_passes(slf)? {
            None => false.into_bound_py_any(py),
            Some(generation) => generation.into_bound_py_any(py),
        }
    }

    /// A call that passed the breaker in this generation succeeded.
    fn _passed(&self, generation: Option<u64>) {
        self.passed(generation);
    }
}
