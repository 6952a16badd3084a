//! Circuit breakers.

use crate::clock::clock;
use crate::driver::{Hook, circuit_open, count, is_coroutine};
use crate::fault::{Classification, Fault, named};
use crate::policy::PolicySlot;
use crate::state::State;
use arc_swap::ArcSwap;
use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use upright_core::CircuitBreaker;
use upright_core::breaker::{OwnedPermit, SavedState};
use upright_core::error::ConfigurationError;
use upright_core::types::{BreakerConfig, BreakerState, Phase};

static FAILED: Hook = Hook::new("upright._breakers", "failed");
static MOVED: Hook = Hook::new("upright._breakers", "moved");
static WATCH: Hook = Hook::new("upright._breakers", "watched");

pub(crate) fn unusable(error: &ConfigurationError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Rejects calls to a failing service. Its methods may be called from any thread.
#[pyclass(frozen, subclass, module = "upright._native")]
pub(crate) struct Breaker {
    breaker: ArcSwap<CircuitBreaker>,
    /// Seconds since 1970, as bits; 0 before the first failure.
    last_failure: AtomicU64,
    /// The phase that Python heard of last.
    seen: Mutex<Phase>,
}

impl Breaker {
    pub(crate) fn shared(&self) -> CircuitBreaker {
        (**self.breaker.load()).clone()
    }

    fn put(&self, change: impl FnOnce(&mut BreakerState)) {
        let breaker = self.breaker.load();
        let SavedState { mut state, layout, .. } = breaker.save();
        change(&mut state);
        breaker.put(SavedState { state, layout, isolated: false });
    }
}

#[pymethods]
impl Breaker {
    #[new]
    #[pyo3(signature = (*_arguments, **_settings))]
    fn new(_arguments: &Bound<'_, PyTuple>, _settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let breaker = CircuitBreaker::builder("circuit").clock(clock()).build().map_err(|error| unusable(&error))?;
        Ok(Self { breaker: ArcSwap::from_pointee(breaker), last_failure: AtomicU64::default(), seen: Mutex::new(Phase::Closed) })
    }

    /// Begins afresh under this name, with these settings. Times are seconds.
    #[pyo3(signature = (
        name, *, failure_threshold, recovery_timeout, success_threshold, half_open_permits = 1, failure_window = None,
        failure_rate_threshold = None, minimum_calls = None, slow_call_duration = None, policy = None,
        state = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn _begin(
        &self,
        name: String,
        failure_threshold: i64,
        recovery_timeout: f64,
        success_threshold: i64,
        half_open_permits: i64,
        failure_window: Option<f64>,
        failure_rate_threshold: Option<f64>,
        minimum_calls: Option<i64>,
        slow_call_duration: Option<f64>,
        policy: Option<&Bound<'_, PolicySlot>>,
        state: Option<&Bound<'_, State>>,
    ) -> PyResult<()> {
        let default = BreakerConfig::default();
        let config = BreakerConfig {
            failure_threshold: count("failure_threshold", failure_threshold)?,
            recovery_timeout,
            success_threshold: count("success_threshold", success_threshold)?,
            half_open_permits: count("half_open_permits", half_open_permits)?,
            failure_window: failure_window.unwrap_or(default.failure_window),
            failure_rate_threshold: failure_rate_threshold.unwrap_or(default.failure_rate_threshold),
            minimum_calls: minimum_calls.map_or(Ok(default.minimum_calls), |calls| count("minimum_calls", calls))?,
            slow_call_duration,
            ..default
        };
        let mut builder = CircuitBreaker::builder(name).config(config).clock(clock());
        if let Some(policy) = policy {
            builder = builder.policy(policy.get().slot());
        }
        if let Some(state) = state {
            builder = builder.shared_by(state.get().sharing());
        }
        self.breaker.store(Arc::new(builder.build().map_err(|error| unusable(&error))?));
        Ok(())
    }

    /// Its name.
    #[getter]
    fn name(&self) -> String {
        self.breaker.load().name().to_string()
    }

    /// Its phase: `closed`, `open` or `half_open`.
    #[getter]
    fn phase(&self) -> &'static str {
        self.breaker.load().state().name()
    }

    /// Puts it into a phase, which begins now.
    fn _put_phase(&self, phase: &str) -> PyResult<()> {
        let phase = named("phase", phase)?;
        let now = clock().now();
        self.put(|state| (state.phase, state.since) = (phase, now));
        Ok(())
    }

    /// Number of consecutive failures while closed.
    #[getter]
    fn failures(&self) -> u32 {
        self.breaker.load().save().state.consecutive_failures
    }

    fn _put_failures(&self, failures: i64) -> PyResult<()> {
        let failures = count("failure_count", failures)?;
        self.put(|state| state.consecutive_failures = failures);
        Ok(())
    }

    /// Number of successful probes while half-open.
    #[getter]
    fn successes(&self) -> u32 {
        self.breaker.load().save().state.half_open_successes
    }

    fn _put_successes(&self, successes: i64) -> PyResult<()> {
        let successes = count("success_count", successes)?;
        self.put(|state| state.half_open_successes = successes);
        Ok(())
    }

    /// Wall-clock time of the last failure, seconds since 1970.
    #[getter]
    fn _last_failure_time(&self) -> Option<f64> {
        let time = f64::from_bits(self.last_failure.load(Ordering::Relaxed));
        (time > 0.0).then_some(time)
    }

    fn _failed_at(&self, time: Option<f64>) {
        self.last_failure.store(time.unwrap_or_default().to_bits(), Ordering::Relaxed);
    }

    #[getter]
    fn _failure_threshold(&self) -> u32 {
        self.breaker.load().config().failure_threshold
    }

    #[getter]
    fn _recovery_timeout(&self) -> f64 {
        self.breaker.load().config().recovery_timeout
    }

    #[getter]
    fn _success_threshold(&self) -> u32 {
        self.breaker.load().config().success_threshold
    }

    /// All settings of `_begin`, by name.
    #[getter]
    fn _settings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let config = self.breaker.load().config();
        let settings = PyDict::new(py);
        settings.set_item("failure_threshold", config.failure_threshold)?;
        settings.set_item("recovery_timeout", config.recovery_timeout)?;
        settings.set_item("success_threshold", config.success_threshold)?;
        settings.set_item("half_open_permits", config.half_open_permits)?;
        settings.set_item("failure_window", config.failure_window)?;
        settings.set_item("failure_rate_threshold", config.failure_rate_threshold)?;
        settings.set_item("minimum_calls", config.minimum_calls)?;
        settings.set_item("slow_call_duration", config.slow_call_duration)?;
        Ok(settings)
    }

    /// Changes settings, not state.
    #[pyo3(signature = (*, failure_threshold = None, recovery_timeout = None, success_threshold = None))]
    fn _reconfigure(&self, failure_threshold: Option<i64>, recovery_timeout: Option<f64>, success_threshold: Option<i64>) -> PyResult<()> {
        let breaker = self.breaker.load();
        let old = breaker.config();
        let new = BreakerConfig {
            failure_threshold: failure_threshold.map_or(Ok(old.failure_threshold), |failures| count("failure_threshold", failures))?,
            recovery_timeout: recovery_timeout.unwrap_or(old.recovery_timeout),
            success_threshold: success_threshold.map_or(Ok(old.success_threshold), |successes| count("success_threshold", successes))?,
            ..old
        };
        breaker.reconfigure(new).map_err(|error| unusable(&error))
    }

    /// Calls `func`, unless the breaker is open. An exception of the function comes out as it is.
    ///
    /// Raises `CircuitOpenError` without a call while the breaker is open.
    #[pyo3(signature = (func, *args, **kwargs))]
    fn call<'py>(
        slf: &Bound<'py, Self>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let breaker = slf.get().breaker.load();
        let Some(generation) = breaker.passes() else {
            drop(breaker);
            return Self::_call_admitted(slf, func, args, kwargs);
        };
        match func.call(args, kwargs) {
            Ok(result) if is_coroutine(&result)? => WATCH.get(py)?.call1((slf, Permit::new(breaker.permit_of(generation)), result)),
            Ok(result) => {
                breaker.passed(generation);
                Ok(result)
            }
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let permit = Permit::new(breaker.permit_of(generation));
                FAILED.get(py)?.call1((slf, permit, error.value(py)))?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn _call_admitted<'py>(
        slf: &Bound<'py, Self>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let permit = slf.get().admit(py)?;
        match func.call(args, kwargs) {
            Ok(result) if is_coroutine(&result)? => WATCH.get(py)?.call1((slf, permit, result)),
            Ok(result) => {
                permit.succeeded()?;
                MOVED.get(py)?.call1((slf,))?;
                Ok(result)
            }
            Err(error) if error.is_instance_of::<PyException>(py) => {
                FAILED.get(py)?.call1((slf, permit, error.value(py)))?;
                Err(error)
            }
            // Dropping the permit gives a probe's place back.
            Err(error) => Err(error),
        }
    }

    /// Permission for one call. Raises `CircuitOpenError` where the breaker rejects it.
    fn admit(&self, py: Python<'_>) -> PyResult<Permit> {
        self.breaker.load().try_acquire_owned().map(Permit::new).map_err(|open| circuit_open(py, &open))
    }

    /// The phase before and after, where it is another than at the last question. Of several threads, one hears of it.
    fn _moved(&self) -> Option<(&'static str, &'static str)> {
        let breaker = self.breaker.load();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let phase = breaker.state();
        let before = std::mem::replace(&mut *seen, phase);
        (before != phase).then(|| (before.name(), phase.name()))
    }

    /// Closes it and clears its counts.
    fn _reset(&self) {
        self.breaker.load().reset();
    }

    /// Rejects every call until it is reset.
    fn isolate(&self) {
        self.breaker.load().isolate();
    }

    /// Its state as JSON, for another process.
    fn _save(&self) -> PyResult<String> {
        serde_json::to_string(&self.breaker.load().save()).map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// Takes over a saved state.
    fn _restore(&self, saved: &str) -> PyResult<()> {
        let saved =
            serde_json::from_str(saved).map_err(|error| PyValueError::new_err(format!("the saved state cannot be read: {error}")))?;
        self.breaker.load().put(saved);
        Ok(())
    }
}

/// Permission for one call. Report its outcome once; a permit that is released or dropped says nothing about the call.
#[pyclass(frozen, module = "upright._native")]
pub(crate) struct Permit(Mutex<Option<OwnedPermit>>);

impl Permit {
    fn new(permit: OwnedPermit) -> Self {
        Self(Mutex::new(Some(permit)))
    }

    fn take(&self) -> Option<OwnedPermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Permit {
    /// The call succeeded.
    fn succeeded(&self) -> PyResult<()> {
        self.take().ok_or_else(spent)?.success();
        Ok(())
    }

    /// The call failed.
    fn failed(&self, fault: &Fault) -> PyResult<Classification> {
        Ok(Classification(self.take().ok_or_else(spent)?.fault(fault.0.clone())))
    }

    /// The call's outcome says nothing about the service.
    fn release(&self) {
        drop(self.take());
    }
}

fn spent() -> PyErr {
    PyRuntimeError::new_err("the permit was used already; expected one report a permit")
}
