//! Policies: swapped, shadowed and rolled back while the program runs.

use crate::driver::span;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use upright_operations::watch::{Watch, swap_on_change};
use upright_runtime::journal::{Journal as Recording, JournalText};
use upright_runtime::shadow::{Promotion, ShadowOptions, ShadowReport};
use upright_runtime::{PolicyError, PolicyLifecycle, PolicyLoader, SwapOptions};

fn refused(error: &PolicyError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The policy that decides for the strategies and breakers which are given this slot.
///
/// Until a policy is swapped in, the built-in one decides as native code: no thread runs, and no WebAssembly engine.
#[pyclass(frozen, module = "upright._native")]
pub(crate) struct PolicySlot {
    lifecycle: PolicyLifecycle,
    loader: PolicyLoader,
    journal: Option<Recording>,
    watch: Mutex<Option<Watch>>,
    /// Number of the process that has the watch's threads.
    process: u32,
}

impl Drop for PolicySlot {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.watch().take());
        }
    }
}

impl PolicySlot {
    pub(crate) fn slot(&self) -> upright_core::PolicySlot {
        self.lifecycle.slot().clone()
    }

    fn watch(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a candidate is swapped in, by Python's keyword arguments.
fn options(probe: bool, shadow: Option<f64>, promote_after: Option<u64>, most_disagreements: u64, probation: f64) -> PyResult<SwapOptions> {
    let promotion = promote_after.map(|decisions| Promotion { decisions, disagreements: most_disagreements });
    let shadow = shadow.map(|sample| ShadowOptions { sample, promotion });
    Ok(SwapOptions { probe, shadow, probation: span("probation", probation)?, ..SwapOptions::default() })
}

#[pymethods]
impl PolicySlot {
    /// A slot whose decisions are recorded in this file, if one is given. `text` keeps messages of errors as they are;
    /// else they are masked.
    #[new]
    #[pyo3(signature = (*, journal = None, text = false))]
    fn new(journal: Option<PathBuf>, text: bool) -> PyResult<Self> {
        let journal = journal
            .map(|path| {
                let text = if text { JournalText::Whole } else { JournalText::default() };
                Recording::builder().text(text).file(path).build().map_err(|error| PyOSError::new_err(error.to_string()))
            })
            .transpose()?;
        let native = PolicyLifecycle::native();
        let lifecycle = match &journal {
            Some(journal) => native.with_journal(journal.clone()),
            None => native,
        };
        Ok(Self { lifecycle, loader: PolicyLoader::default(), journal, watch: Mutex::default(), process: std::process::id() })
    }

    /// Swaps in a policy: a path of a component, or its bytes. Returns the stage that it reached, such as `active`.
    ///
    /// `shadow` is a share of decisions, above 0 and at most 1. The policy then only runs beside the active one in that
    /// share. `promote` makes it active, or `promote_after` decisions of which at most `most_disagreements` differed.
    /// `probation` is the time after which it counts as good, in seconds.
    ///
    /// Raises `ValueError` with the reason where it is refused.
    #[pyo3(signature = (
        policy, *, probe = true, shadow = None, promote_after = None, most_disagreements = 0, probation = 60.0,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn swap(
        &self,
        py: Python<'_>,
        policy: &Bound<'_, PyAny>,
        probe: bool,
        shadow: Option<f64>,
        promote_after: Option<u64>,
        most_disagreements: u64,
        probation: f64,
    ) -> PyResult<&'static str> {
        let options = options(probe, shadow, promote_after, most_disagreements, probation)?;
        let stage = match policy.cast::<PyBytes>() {
            Ok(bytes) => {
                let bytes = bytes.as_bytes().to_vec();
                py.detach(|| {
                    // A file's refusal is in the history, and so is this.
                    let loaded = self.loader.clone().probe(probe).from_bytes(&bytes);
                    let policy = loaded.inspect_err(|error| self.lifecycle.note_refusal("bytes", error))?;
                    self.lifecycle.swap(policy, &options)
                })
            }
            Err(_) => {
                let path: PathBuf = policy.extract()?;
                py.detach(|| self.lifecycle.swap_file(path, &self.loader, &options))
            }
        };
        stage.map(|stage| stage.name()).map_err(|error| refused(&error))
    }

    /// Swaps in this file's policy whenever the file changes, until `unwatch`. A refused one is in the history.
    fn watch_file(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let begun = py.detach(|| swap_on_change(&self.lifecycle, path, &self.loader, &SwapOptions::default()));
        *self.watch() = Some(begun.map_err(|error| PyOSError::new_err(error.to_string()))?);
        Ok(())
    }

    /// Ends watching.
    fn unwatch(&self, py: Python<'_>) {
        let watch = self.watch().take();
        py.detach(|| drop(watch));
    }

    /// Findings of the policy in the shadow, `None` without one: `candidate`, `decisions`, `disagreeing`, `agreement`
    /// from 0 to 1, `dropped`, and `kinds` of difference with their counts.
    fn shadow_report<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        py.detach(|| self.lifecycle.shadow_report()).map(|report| described(py, &report)).transpose()
    }

    /// Makes the policy in the shadow active. Returns its report, `None` without one.
    fn promote<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        py.detach(|| self.lifecycle.promote()).map(|report| described(py, &report)).transpose()
    }

    /// Ends the shadow. Returns its report, `None` without one.
    fn end_shadow<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        py.detach(|| self.lifecycle.end_shadow()).map(|report| described(py, &report)).transpose()
    }

    /// Brings the last good policy back. Returns its name and version.
    fn roll_back(&self, py: Python<'_>) -> String {
        py.detach(|| self.lifecycle.roll_back())
    }

    /// Name and version of the active policy.
    #[getter]
    fn policy(&self) -> String {
        upright_core::policy::label(&self.lifecycle.description())
    }

    /// SHA-256 of the active component, in hexadecimal digits; `None` while native code decides.
    #[getter]
    fn digest(&self) -> Option<String> {
        self.lifecycle.policy().map(|policy| policy.digest().to_owned())
    }

    /// The latest 256 steps, newest last: `time` in seconds since 1970, `policy`, `digest`, `stage`, `refused`.
    #[getter]
    fn history<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let steps = PyList::empty(py);
        for entry in self.lifecycle.history() {
            let step = PyDict::new(py);
            step.set_item("time", entry.unix_milliseconds as f64 / 1e3)?;
            step.set_item("policy", entry.policy)?;
            step.set_item("digest", entry.digest)?;
            step.set_item("stage", entry.stage.name())?;
            step.set_item("refused", entry.refused)?;
            steps.append(step)?;
        }
        Ok(steps)
    }

    /// Numbers of `decisions`, of those that native code answered (`safe_mode`), of `swaps` and of `rollbacks`.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.lifecycle.counts();
        let described = PyDict::new(py);
        described.set_item("decisions", counts.decisions)?;
        described.set_item("safe_mode", counts.safe_mode)?;
        described.set_item("swaps", counts.swaps)?;
        described.set_item("rollbacks", counts.rollbacks)?;
        Ok(described)
    }

    /// Writes the journal's queue to its file.
    fn flush(&self, py: Python<'_>) {
        if let Some(journal) = &self.journal {
            py.detach(|| journal.flush());
        }
    }
}

/// Readies a forked child: the thread that ends long decisions is started again.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    upright_runtime::after_fork_in_child();
}

fn described<'py>(py: Python<'py>, report: &ShadowReport) -> PyResult<Bound<'py, PyDict>> {
    let described = PyDict::new(py);
    described.set_item("candidate", &report.candidate)?;
    described.set_item("decisions", report.decisions)?;
    described.set_item("disagreeing", report.disagreeing)?;
    described.set_item("agreement", report.agreement)?;
    described.set_item("dropped", report.dropped)?;
    let kinds = PyDict::new(py);
    for difference in &report.disagreements {
        kinds.set_item(difference.kind, difference.count)?;
    }
    described.set_item("kinds", kinds)?;
    Ok(described)
}
