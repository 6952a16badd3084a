//! The native half of the Python package `upright`: it decides, and Python waits, calls and reads exceptions.
//!
//! No exception object enters Rust: Python reads it into a [`fault::Fault`]. No lock is held while Python runs.

mod breaker;
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
    #[pymodule_export]
    use super::breaker::{Breaker, Permit};
    #[pymodule_export]
    use super::degrade::{fallback_model, measure, same_model, simplify};
    #[pymodule_export]
    use super::fault::{Classification, Fault, classify};
    #[pymodule_export]
    use super::guarded::Guarded;
    #[pymodule_export]
    use super::judge::Judge;
    #[pymodule_export]
    use super::policy::{PolicySlot, after_fork_in_child};
    #[pymodule_export]
    use super::run::{Attempt, End, Run, Step};
    #[pymodule_export]
    use super::state::State;
    #[pymodule_export]
    use super::strategy::Strategy;
}
