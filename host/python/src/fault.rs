//! Facts of a failure, and their meaning.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::OnceLock;
use upright_core::PolicySlot;
use upright_core::driving::Facts;
use upright_core::types::{self, ErrorLabels, FaultKind};

/// Reads a name of an enum, or raises `ValueError` with the names that exist.
pub(crate) fn named<T: FromStr<Err: Display>>(what: &str, name: &str) -> PyResult<T> {
    name.parse().map_err(|unknown| PyValueError::new_err(format!("{what} {name:?}: {unknown}")))
}

/// A failure, reduced to facts, with further facts of the exchange where one was judged.
#[pyclass(frozen, eq, module = "upright._native")]
#[derive(PartialEq)]
pub(crate) struct Fault(pub(crate) types::Fault, pub(crate) Option<types::Circumstances>);

impl From<&Fault> for Facts {
    fn from(Fault(fault, circumstances): &Fault) -> Self {
        Self { circumstances: circumstances.clone(), ..fault.clone().into() }
    }
}

#[pymethods]
impl Fault {
    #[new]
    #[pyo3(signature = (
        kind, message = String::new(), *, status = None, errno = None, endpoint = "other", error_type = None, error_code = None,
        retry_after = None, should_retry = None, points_to = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a constructor in Python")]
    fn new(
        kind: &str,
        message: String,
        status: Option<u16>,
        errno: Option<i32>,
        endpoint: &str,
        error_type: Option<String>,
        error_code: Option<String>,
        retry_after: Option<f64>,
        should_retry: Option<bool>,
        points_to: Option<String>,
    ) -> PyResult<Self> {
        let labels = (error_type.is_some() || error_code.is_some()).then_some(ErrorLabels { error_type, error_code });
        let endpoint = named("endpoint", endpoint)?;
        let kind = named::<FaultKind>("kind", kind)?;
        let fault =
            types::Fault { status, errno, endpoint, labels, retry_after, should_retry, points_to, ..types::Fault::new(kind, message) };
        Ok(Self(fault, None))
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind.name()
    }

    #[getter]
    fn message(&self) -> &str {
        &self.0.message
    }

    #[getter]
    fn status(&self) -> Option<u16> {
        self.0.status
    }

    #[getter]
    fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    #[getter]
    fn endpoint(&self) -> &'static str {
        self.0.endpoint.name()
    }

    #[getter]
    fn error_type(&self) -> Option<&str> {
        self.0.labels.as_ref()?.error_type.as_deref()
    }

    #[getter]
    fn error_code(&self) -> Option<&str> {
        self.0.labels.as_ref()?.error_code.as_deref()
    }

    #[getter]
    fn retry_after(&self) -> Option<f64> {
        self.0.retry_after
    }

    #[getter]
    fn should_retry(&self) -> Option<bool> {
        self.0.should_retry
    }

    #[getter]
    fn points_to(&self) -> Option<&str> {
        self.0.points_to.as_deref()
    }

    fn __repr__(&self) -> String {
        let status = self.0.status.map(|status| format!(", status={status}")).unwrap_or_default();
        format!("Fault({:?}, {:?}{status})", self.0.kind.name(), self.0.message)
    }
}

/// The meaning of a failure.
#[pyclass(frozen, eq, module = "upright._native")]
#[derive(PartialEq)]
pub(crate) struct Classification(pub(crate) types::Classification);

#[pymethods]
impl Classification {
    /// One of `transient`, `permanent`, `resource`, `connection`, `timeout`, `unknown`.
    #[getter]
    fn category(&self) -> &'static str {
        self.0.category.name()
    }

    /// One of `low`, `medium`, `high`, `critical`.
    #[getter]
    fn severity(&self) -> &'static str {
        self.0.severity.name()
    }

    /// Whether a repeated call may succeed.
    #[getter]
    fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// Maximum number of useful retries; `None` without a limit.
    #[getter]
    fn retry_limit(&self) -> Option<u32> {
        self.0.retry_limit
    }

    /// Whether a circuit breaker counts it.
    #[getter]
    fn counted(&self) -> bool {
        self.0.counted
    }

    /// Whether another model on the same host could succeed.
    #[getter]
    fn model_specific(&self) -> bool {
        self.0.model_specific
    }

    /// Whether another host could succeed with the same model.
    #[getter]
    fn host_specific(&self) -> bool {
        self.0.host_specific
    }

    /// Name of the action that helps, such as `pull_model`.
    #[getter]
    fn action(&self) -> &'static str {
        self.0.action.name()
    }

    /// The action that helps, as a sentence.
    #[getter]
    fn suggestion(&self) -> &'static str {
        self.0.action.text()
    }

    /// Name of the rule that matched.
    #[getter]
    fn rule(&self) -> &str {
        &self.0.rule
    }

    fn __repr__(&self) -> String {
        format!("Classification({:?}, rule={:?}, retryable={})", self.category(), self.0.rule, self.0.retryable)
    }
}

/// The built-in policy, for questions that concern no slot.
pub(crate) fn built_in() -> &'static PolicySlot {
    static BUILT_IN: OnceLock<PolicySlot> = OnceLock::new();
    BUILT_IN.get_or_init(PolicySlot::native)
}

/// The meaning of a failure, by the built-in policy.
#[pyfunction]
pub(crate) fn classify(fault: &Fault) -> Classification {
    Classification(built_in().classify(&fault.0))
}
