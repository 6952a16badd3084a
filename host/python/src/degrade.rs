//! Models in place of one that failed, lighter workflows, and this machine's resources.

use crate::fault::built_in;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString};
use upright_core::types::{WorkflowChange, WorkflowEntry, WorkflowValue};

/// The next model of a chain; its first for a model that is not in it; `None` after the last.
#[pyfunction]
pub(crate) fn fallback_model(failed: &str, mut chain: Vec<String>) -> Option<String> {
    let next = built_in().next_model(failed, &chain)?;
    (next < chain.len()).then(|| chain.swap_remove(next))
}

/// A copy of a workflow's settings, lighter by the policy.
#[pyfunction]
pub(crate) fn simplify<'py>(workflow: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let lighter = workflow.copy()?;
    let mut entries = Vec::with_capacity(workflow.len());
    for (key, value) in workflow {
        // Only settings with a name in text are known.
        let Ok(key) = key.extract::<String>() else { continue };
        entries.push(WorkflowEntry { key, value: described(&value)? });
    }
    for edit in built_in().simplify_workflow(&entries) {
        let Some(WorkflowEntry { key, .. }) = entries.get(edit.entry as usize) else { continue };
        match edit.change {
            WorkflowChange::Drop => lighter.del_item(key)?,
            WorkflowChange::Set(number) => match workflow.get_item(key)? {
                Some(old) if old.is_instance_of::<PyInt>() && number.fract() == 0.0 => lighter.set_item(key, number as i64)?,
                _ => lighter.set_item(key, number)?,
            },
            WorkflowChange::Truncate(length) => {
                if let Some(Ok(items)) = workflow.get_item(key)?.map(|items| items.cast_into::<PyList>()) {
                    lighter.set_item(key, items.get_slice(0, length as usize))?;
                }
            }
        }
    }
    Ok(lighter)
}

fn described(value: &Bound<'_, PyAny>) -> PyResult<WorkflowValue> {
    Ok(if value.is_none() {
        WorkflowValue::Null
    } else if let Ok(truth) = value.cast::<PyBool>() {
        WorkflowValue::Boolean(truth.is_true())
    } else if let Ok(items) = value.cast::<PyList>() {
        WorkflowValue::Items(u32::try_from(items.len()).unwrap_or(u32::MAX))
    } else if let Ok(text) = value.cast::<PyString>() {
        WorkflowValue::Text(text.to_string())
    } else {
        value.extract().map_or(WorkflowValue::Null, WorkflowValue::Number)
    })
}

/// Whether two names are one model, as Ollama compares them.
#[pyfunction]
pub(crate) fn same_model(one: &str, other: &str) -> bool {
    upright_logic::degradation::same_model(one, other)
}

/// This machine's total and available memory, total and available disk at this path, all in bytes, and the processor's
/// load in percent. Takes a fifth of a second.
#[pyfunction]
pub(crate) fn measure(py: Python<'_>, path: std::path::PathBuf) -> (u64, u64, u64, u64, Option<f64>) {
    let read = py.detach(|| upright::health::measure(path));
    (read.memory_total_bytes, read.memory_available_bytes, read.disk_total_bytes, read.disk_available_bytes, read.cpu_percent)
}
