//! The facts of a failed attempt.

use super::settings::{OnUnknown, Runtime};
use crate::error::AttemptTimeout;
use crate::fault::{circumstances_of, fault_of, links, models_of};
use crate::types::{Circumstances, Fault, ModelFacts};
use std::error::Error;
use std::time::Duration;
use upright_logic::classifier::rules::UNKNOWN;

/// The facts of a failed attempt, without the error itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The failure.
    pub fault: Fault,
    /// Further facts of the failed exchange.
    pub circumstances: Option<Circumstances>,
    /// The models of the server by name, where the failure made the client look.
    pub models: Vec<(String, ModelFacts)>,
    /// The time limit that the attempt ran out of.
    pub timed_out: Option<Duration>,
}

impl From<Fault> for Facts {
    fn from(fault: Fault) -> Self {
        Self { fault, circumstances: None, models: Vec::new(), timed_out: None }
    }
}

impl Facts {
    /// The facts in an error and its chain of causes.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        Self::with(fault_of(error), error)
    }

    fn with(fault: Fault, error: &(dyn Error + 'static)) -> Self {
        Self {
            fault,
            circumstances: circumstances_of(error),
            models: models_of(error).to_vec(),
            timed_out: error.downcast_ref().map(|AttemptTimeout { limit }| *limit),
        }
    }
}

impl Runtime {
    /// The facts in an error, by the caller's readers first.
    pub fn facts(&self, error: &(dyn Error + 'static)) -> Facts {
        let read = self.error_readers.iter().find_map(|read| links(error).find_map(|link| read(link)));
        let mut facts = Facts::with(read.unwrap_or_else(|| fault_of(error)), error);
        let said = self.retry_if.iter().find_map(|retry_if| links(error).find_map(|link| retry_if(link)));
        let fault = &mut facts.fault;
        fault.should_retry = said.or(fault.should_retry);
        if self.on_unknown == OnUnknown::Retry && fault.should_retry.is_none() && is_unknown(fault) {
            fault.should_retry = Some(true);
        }
        facts
    }
}

/// Whether no rule of the built-in classifier knows the failure.
fn is_unknown(fault: &Fault) -> bool {
    upright_logic::classifier::classify(fault).rule == UNKNOWN.name
}
