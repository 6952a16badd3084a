//! The native half of the Python package `upright`: it decides, and Python waits, calls and reads exceptions.
//!
//! No exception object enters Rust: Python reads it into a `Fault`. No lock is held while Python runs.

mod attempts;
mod breaker;
mod clock;
mod degrade;
mod driver;
mod fault;
mod guarded;
mod judge;
mod policy;
mod run;
mod state;
mod strategy;

use pyo3::prelude::*;

/// Decisions of Upright, for Python.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;
    use pyo3::types::PyDict;

    #[pymodule_export]
    use super::attempts::Attempts;
    #[pymodule_export]
    use super::breaker::{Breaker, Permit};
    #[pymodule_export]
    use super::clock::skip;
    #[pymodule_export]
    use super::degrade::{fallback_model, measure, same_model, simplify};
    #[pymodule_export]
    use super::fault::{Classification, Fault, classify};
    #[pymodule_export]
    use super::guarded::{BoundGuarded, Guarded};
    #[pymodule_export]
    use super::judge::Judge;
    #[pymodule_export]
    use super::policy::PolicySlot;
    #[pymodule_export]
    use super::run::{Attempt, End, Run, Step};
    #[pymodule_export]
    use super::state::State;
    #[pymodule_export]
    use super::strategy::Strategy;

    /// Readies forked children, where the system forks.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let os = module.py().import("os")?;
        if os.hasattr("register_at_fork")? {
            let child = PyDict::new(module.py());
            child.set_item("after_in_child", wrap_pyfunction!(super::policy::after_fork_in_child, module)?)?;
            os.call_method("register_at_fork", (), Some(&child))?;
        }
        Ok(())
    }
}
