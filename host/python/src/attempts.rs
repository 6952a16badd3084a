//! Loops over attempts, whose body is the operation.

use crate::driver::{Hook, current};
use crate::run::Attempt;
use crate::strategy::Strategy;
use pyo3::exceptions::{PyException, PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;

static NEXT: Hook = Hook::new("upright._attempts", "following");
static NEXT_ASYNC: Hook = Hook::new("upright._attempts", "following_async");
static FAILED: Hook = Hook::new("upright._attempts", "failed");
static SUCCEEDED: Hook = Hook::new("upright._attempts", "succeeded");
static LEFT: Hook = Hook::new("upright._attempts", "left");

/// How far a loop is.
enum State {
    Fresh,
    /// The first attempt, which passed the breaker in this generation.
    First(Option<u64>),
    /// An attempt of a course, which may be under way or over.
    Course,
    Ended,
}

/// A loop over the attempts of one operation, and each of them: its body runs in `with attempt:`.
///
/// One loop serves one operation: begin another for the next.
#[pyclass(module = "upright._native")]
pub(crate) struct Attempts {
    strategy: Py<Strategy>,
    terms: Option<Py<PyAny>>,
    state: State,
    is_inside: bool,
    course: Option<Py<PyAny>>,
    token: Option<Py<PyAny>>,
    attempt: Option<Py<Attempt>>,
}

impl Attempts {
    pub(crate) fn over(strategy: Py<Strategy>, terms: Option<Py<PyAny>>) -> Self {
        Self { strategy, terms, state: State::Fresh, is_inside: false, course: None, token: None, attempt: None }
    }

    /// Whether the first attempt needs no course. The state moves on.
    fn begins_alone(&mut self, py: Python<'_>) -> PyResult<bool> {
        match self.state {
            State::Fresh => {}
            State::First(_) => return Err(PyRuntimeError::new_err("an attempt was not made; expected its body in `with attempt:`")),
            State::Course | State::Ended => return Ok(false),
        }
        let passes = Strategy::first_passes(self.strategy.bind(py))?;
        self.state = passes.map_or(State::Course, State::First);
        Ok(passes.is_some())
    }
}

#[pymethods]
impl Attempts {
    #[new]
    #[pyo3(signature = (strategy, terms = None))]
    fn new(strategy: Py<Strategy>, terms: Option<Py<PyAny>>) -> Self {
        Self::over(strategy, terms)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if slf.borrow_mut().begins_alone(py)? {
            return Ok(slf.clone().into_any());
        }
        if matches!(slf.borrow().state, State::Ended) {
            return Err(PyStopIteration::new_err(()));
        }
        NEXT.get(py)?.call1((slf,))
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if slf.borrow_mut().begins_alone(py)? {
            return Ok(Bound::new(py, Ready(Some(slf.clone().into_any().unbind())))?.into_any());
        }
        if matches!(slf.borrow().state, State::Ended) {
            return Err(PyStopAsyncIteration::new_err(()));
        }
        NEXT_ASYNC.get(py)?.call1((slf,))
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let mut this = slf.borrow_mut();
        if this.is_inside || matches!(this.state, State::Fresh | State::Ended) {
            return Err(PyRuntimeError::new_err("there is no attempt to make; expected one `with attempt:` in each round of the loop"));
        }
        this.is_inside = true;
        let attempt = this.attempt.as_ref().map(|attempt| attempt.clone_ref(slf.py()));
        drop(this);
        if let Some(attempt) = attempt {
            let token = current(slf.py())?.call_method1("set", (attempt,))?;
            slf.borrow_mut().token = Some(token.unbind());
        }
        Ok(slf.clone())
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let mut this = slf.borrow_mut();
        let state = std::mem::replace(&mut this.state, State::Ended);
        this.is_inside = false;
        let token = this.token.take();
        let is_course = this.attempt.take().is_some();
        drop(this);
        if let Some(token) = token {
            LEFT.get(py)?.call1((token,))?;
        }
        let generation = if let State::First(generation) = state { generation } else { None };
        if error.is_none() {
            if is_course {
                SUCCEEDED.get(py)?.call1((slf,))?;
            } else {
                slf.borrow().strategy.bind(py).get().passed(generation);
            }
            return Ok(false);
        }
        if !error.is_instance_of::<PyException>() {
            if let Some(course) = slf.borrow_mut().course.take() {
                course.call_method0(py, "release")?;
            }
            return Ok(false);
        }
        let follows = FAILED.get(py)?.call1((slf, generation, error))?.is_truthy()?;
        if follows {
            slf.borrow_mut().state = State::Course;
        }
        Ok(follows)
    }

    /// The strategy's state of the operation, after its first failure.
    #[getter(_course)]
    fn course(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.course.as_ref().map(|course| course.clone_ref(py))
    }

    #[setter(_course)]
    fn set_course(&mut self, course: Option<Py<PyAny>>) {
        self.course = course;
    }

    /// Hands out an attempt of a course; `None` ends the loop.
    fn _hand_out(&mut self, attempt: Option<Py<Attempt>>) -> PyResult<()> {
        if self.attempt.is_some() && attempt.is_some() {
            return Err(PyRuntimeError::new_err("an attempt was not made; expected its body in `with attempt:`"));
        }
        self.state = if attempt.is_some() { State::Course } else { State::Ended };
        self.attempt = attempt;
        Ok(())
    }

    #[getter]
    fn _strategy(&self, py: Python<'_>) -> Py<Strategy> {
        self.strategy.clone_ref(py)
    }

    #[getter]
    fn _terms(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.terms.as_ref().map(|terms| terms.clone_ref(py))
    }

    /// Number of the attempt, from 1.
    #[getter]
    fn number(&self) -> u32 {
        self.attempt.as_ref().map_or(1, |attempt| attempt.get().0.number)
    }

    /// The model to use.
    #[getter]
    fn model(&self) -> Option<String> {
        self.attempt.as_ref()?.get().0.model.as_deref().map(str::to_owned)
    }

    /// Time limit of this attempt, seconds.
    #[getter]
    fn time_left(&self) -> Option<f64> {
        self.attempt.as_ref()?.get().0.time_left.map(|left| left.as_secs_f64())
    }

    fn __repr__(&self) -> String {
        format!("Attempts(number={})", self.number())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.strategy)?;
        visit.call(&self.terms)?;
        visit.call(&self.course)?;
        visit.call(&self.token)
    }

    fn __clear__(&mut self) {
        self.terms = None;
        self.course = None;
        self.token = None;
    }
}

/// An awaitable whose result is there.
#[pyclass(module = "upright._native")]
struct Ready(Option<Py<PyAny>>);

#[pymethods]
impl Ready {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self) -> PyResult<()> {
        match self.0.take() {
            Some(value) => Err(PyStopIteration::new_err((value,))),
            None => Err(PyRuntimeError::new_err("the attempt was awaited before")),
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.0)
    }

    fn __clear__(&mut self) {
        self.0 = None;
    }
}
