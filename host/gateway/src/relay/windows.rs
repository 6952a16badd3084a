//! Windows that models were given, so that the next question needs no refusal and no other load.

use crate::hosts::names::ModelName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Maximum number of models remembered; beyond it all are forgotten.
const MODELS: usize = 256;

/// The window of each model that was enlarged, tokens.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<HashMap<ModelName, u32>>);

impl Windows {
    /// The window that the model was given; `None` where its own was enough.
    pub(super) fn of(&self, model: &ModelName) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied()
    }

    /// An answer came with this window.
    pub(super) fn keep(&self, model: &ModelName, tokens: u32) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MODELS && !windows.contains_key(model) {
            windows.clear();
        }
        windows.insert(model.clone(), tokens);
    }

    /// The model did not load with this window.
    pub(super) fn forget(&self, model: &ModelName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
    }
}
