//! One guarded operation, step by step.

use crate::breaker::Breaker;
use crate::driver::{circuit_open, current, span};
use crate::fault::{Classification, Fault};
use crate::strategy::Strategy;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use upright_core::driving::{self, Facts, OperationContext, Rejected};
use upright_core::types::{CachedAnswer, Rescue};

/// The alternatives of an operation.
#[derive(Default)]
pub(crate) struct Context {
    pub(crate) fallback: bool,
    models: Vec<String>,
    cached: Option<CachedAnswer>,
    simplify: bool,
}

impl OperationContext for Context {
    fn models(&self) -> &[String] {
        &self.models
    }

    fn cached(&self) -> Option<CachedAnswer> {
        self.cached
    }

    fn has_fallback(&self) -> bool {
        self.fallback
    }

    fn can_simplify(&self) -> bool {
        self.simplify
    }
}

/// A breaker for one operation.
#[derive(FromPyObject)]
enum OwnBreaker<'py> {
    Of(Bound<'py, Breaker>),
    None(bool),
}

/// Number of attempts in progress that runs make. Where it is 0, no context has a current attempt.
static IN_PROGRESS: AtomicUsize = AtomicUsize::new(0);

/// Whether this context is in an attempt that a run makes.
pub(crate) fn is_in_attempt(py: Python<'_>) -> PyResult<bool> {
    Ok(IN_PROGRESS.load(Ordering::Relaxed) > 0 && !current(py)?.call_method0("get")?.is_none())
}

struct InProgress;

impl InProgress {
    fn new() -> Self {
        IN_PROGRESS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        IN_PROGRESS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One operation in progress. Releasing it ends the operation: an attempt in flight counts for nothing.
#[pyclass(module = "upright._native")]
pub(crate) struct Run {
    run: Option<driving::Run<Context>>,
    in_progress: Option<InProgress>,
}

impl From<driving::Run<Context>> for Run {
    fn from(run: driving::Run<Context>) -> Self {
        Self { run: Some(run), in_progress: None }
    }
}

impl Run {
    fn live(&mut self) -> PyResult<&mut driving::Run<Context>> {
        self.run.as_mut().ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("the run was released; begin another one"))
    }
}

#[pymethods]
impl Run {
    /// Begins an operation. `model` is used first, of those in `models`; `cached` is the age and the maximum age of a
    /// cached answer, seconds. `breaker` takes the place of the strategy's own; `False` is none.
    #[new]
    #[pyo3(signature = (
        strategy, *, fallback = false, models = Vec::new(), model = None, cached = None, simplify = false, breaker = None,
    ))]
    fn new(
        strategy: &Strategy,
        fallback: bool,
        models: Vec<String>,
        model: Option<String>,
        cached: Option<(f64, f64)>,
        simplify: bool,
        breaker: Option<OwnBreaker<'_>>,
    ) -> Self {
        let cached = cached.map(|(age, max_age)| CachedAnswer { age, max_age });
        let strategy = strategy.shared();
        let breaker = match breaker {
            Some(OwnBreaker::Of(breaker)) => Some(breaker.get().shared()),
            Some(OwnBreaker::None(false)) => None,
            Some(OwnBreaker::None(true)) | None => strategy.breaker().cloned(),
        };
        let shared = strategy.shared();
        let context = Context { fallback, models, cached, simplify };
        let (runtime, settings) = (Arc::clone(&shared.runtime), shared.settings.clone());
        driving::Run::with(runtime, settings, context, breaker, model.map(Arc::from)).into()
    }

    /// Goes on with an operation whose first attempt failed outside of a run, through the breaker in this generation.
    #[staticmethod]
    #[pyo3(signature = (strategy, generation, *, fallback = false))]
    fn after_first(strategy: &Strategy, generation: Option<u64>, fallback: bool) -> Self {
        let context = Context { fallback, ..Context::default() };
        driving::Run::after_first(&strategy.shared(), context, None, generation).into()
    }

    /// The next step: an attempt, unless a guard rejects it.
    fn admit(&mut self) -> PyResult<Step> {
        Ok(Step(self.live()?.admit()))
    }

    /// The attempt is under way.
    fn begun(&mut self) -> PyResult<()> {
        self.live()?.begun();
        self.in_progress = Some(InProgress::new());
        Ok(())
    }

    /// The attempt succeeded.
    fn succeeded(&mut self) -> PyResult<()> {
        self.in_progress = None;
        self.live()?.succeeded();
        Ok(())
    }

    /// The attempt failed; `timed_out` is the limit that it ran out of, seconds. Where `may_retry` is false, the caller
    /// advises against a retry.
    #[pyo3(signature = (fault, timed_out = None, *, may_retry = true))]
    fn failed(&mut self, fault: &Fault, timed_out: Option<f64>, may_retry: bool) -> PyResult<Step> {
        self.in_progress = None;
        let timed_out = timed_out.map(|limit| span("timed_out", limit)).transpose()?;
        let mut facts = Facts { timed_out, ..fault.into() };
        facts.fault.should_retry = if may_retry { facts.fault.should_retry } else { Some(false) };
        Ok(Step(self.live()?.failed(facts)))
    }

    /// The caller has a part of the answer, and a repeated request has the same answer.
    fn rescue(&mut self) -> PyResult<()> {
        self.live()?.rescue(Rescue { replay: true, ..Rescue::default() });
        Ok(())
    }

    /// The attempt answered in other words than the caller has. Nothing follows this failure of the attempt before.
    fn differed(&mut self, fault: &Fault) -> PyResult<Step> {
        self.in_progress = None;
        let run = self.live()?;
        run.rescue(Rescue::default());
        Ok(Step(run.differed(Facts::from(fault))))
    }

    /// The attempt failed after parts of its answer were out: nothing follows. The breaker hears of it.
    fn broken(&mut self, fault: &Fault) -> PyResult<()> {
        self.in_progress = None;
        self.live()?.broken(Facts::from(fault));
        Ok(())
    }

    /// Ends the operation.
    fn release(&mut self) {
        self.run = None;
        self.in_progress = None;
    }

    /// Number of attempts made.
    #[getter]
    fn attempts(&self) -> u32 {
        self.run.as_ref().map_or(0, driving::Run::attempts)
    }

    /// Seconds since the first attempt began.
    #[getter]
    fn elapsed(&self) -> f64 {
        self.run.as_ref().map_or(0.0, |run| run.elapsed().as_secs_f64())
    }

    /// Seconds until the deadline.
    #[getter]
    fn time_left(&self) -> Option<f64> {
        self.run.as_ref()?.time_left().map(|left| left.as_secs_f64())
    }
}

/// The next step of a run.
#[pyclass(frozen, module = "upright._native")]
pub(crate) struct Step(driving::Step);

#[pymethods]
impl Step {
    /// One of `attempt`, `wait`, `again`, `cached`, `fallback`, `fail`.
    #[getter]
    fn kind(&self) -> &'static str {
        match self.0 {
            driving::Step::Attempt(_) => "attempt",
            driving::Step::Wait(_) => "wait",
            driving::Step::Again => "again",
            driving::Step::ServeCached(_) => "cached",
            driving::Step::FallBack(_) => "fallback",
            driving::Step::Fail(_) => "fail",
        }
    }

    /// The attempt to make.
    #[getter]
    fn attempt(&self) -> Option<Attempt> {
        match &self.0 {
            driving::Step::Attempt(attempt) => Some(Attempt(attempt.clone())),
            _ => None,
        }
    }

    /// Seconds to wait.
    #[getter]
    fn delay(&self) -> f64 {
        match self.0 {
            driving::Step::Wait(delay) => delay.as_secs_f64(),
            _ => 0.0,
        }
    }

    /// How the operation ended.
    #[getter]
    fn end(&self) -> Option<End> {
        match &self.0 {
            driving::Step::ServeCached(end) | driving::Step::FallBack(end) | driving::Step::Fail(end) => Some(End(end.clone())),
            _ => None,
        }
    }
}

/// An attempt that an operation makes now.
#[pyclass(frozen, module = "upright._native")]
pub(crate) struct Attempt(pub(crate) driving::Attempt);

#[pymethods]
impl Attempt {
    /// Number of the attempt, from 1, over all models.
    #[getter]
    fn number(&self) -> u32 {
        self.0.number
    }

    /// The model to use.
    #[getter]
    fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// The window to ask the model for, tokens.
    #[getter]
    fn window(&self) -> Option<u32> {
        self.0.window
    }

    /// Whether to run the simplified workflow.
    #[getter]
    fn simplified(&self) -> bool {
        self.0.simplified
    }

    /// Time limit of this attempt, seconds.
    #[getter]
    fn time_left(&self) -> Option<f64> {
        self.0.time_left.map(|left| left.as_secs_f64())
    }

    fn __repr__(&self) -> String {
        format!("Attempt(number={}, model={:?})", self.0.number, self.0.model())
    }
}

/// How an operation ended without a live answer.
#[pyclass(frozen, module = "upright._native")]
pub(crate) struct End(driving::End);

#[pymethods]
impl End {
    /// Number of attempts made, over all models.
    #[getter]
    fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Seconds since the first attempt began.
    #[getter]
    fn elapsed(&self) -> f64 {
        self.0.elapsed.as_secs_f64()
    }

    /// Why no other attempt follows, such as `attempts_exhausted`.
    #[getter]
    fn reason(&self) -> &'static str {
        self.0.reason.name()
    }

    /// The meaning of the last failure; `None` where no attempt was made.
    #[getter]
    fn classification(&self) -> Option<Classification> {
        self.0.classification.clone().map(Classification)
    }

    /// The exception of the guard that rejected the call, where one did.
    fn rejection<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self.0.rejected.as_ref()? {
            Rejected::CircuitOpen(open) => Some(circuit_open(py, open).value(py).clone().into_any()),
            Rejected::BulkheadFull(full) => Some(pyo3::exceptions::PyRuntimeError::new_err(full.to_string()).value(py).clone().into_any()),
        }
    }
}
