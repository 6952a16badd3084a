//! Describes an operation's context to a run: models, cache, fallback, checkpoint.

use crate::breaker::CircuitBreaker;
use crate::checkpoints::Checkpoint;
use crate::types::{CachedAnswer, ResourceSnapshot};

/// Alternatives to a live answer. A run asks for them only after a failure.
pub trait OperationContext: Sync {
    /// The models that may be used, best first.
    fn models(&self) -> &[String] {
        &[]
    }

    /// The breaker of a model, where each model has its own.
    fn breaker(&self, _model: &str) -> Option<CircuitBreaker> {
        None
    }

    /// The age of a cached answer to the same request.
    fn cached(&self) -> Option<CachedAnswer> {
        None
    }

    /// Whether the caller gave a fallback.
    fn has_fallback(&self) -> bool {
        false
    }

    /// Whether the caller can run a simplified workflow.
    fn can_simplify(&self) -> bool {
        false
    }

    /// The checkpoint that progress is saved in.
    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }

    /// Free memory, disk and processor time of this machine.
    fn resources(&self) -> Option<ResourceSnapshot> {
        None
    }

    /// Whether this machine is short of memory, by the caller's own thresholds. A call that ran out of a resource is
    /// then not retried.
    fn is_short_of_memory(&self) -> bool {
        false
    }
}

/// An operation that has nothing but, perhaps, a fallback.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone {
    /// Whether the caller gave a fallback.
    pub fallback: bool,
}

impl OperationContext for Alone {
    fn has_fallback(&self) -> bool {
        self.fallback
    }
}
