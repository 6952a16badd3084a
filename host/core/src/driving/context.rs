//! Describes an operation's context to a run: models, cache, fallback, checkpoint.

use crate::breaker::CircuitBreaker;
use crate::checkpoints::Checkpoint;
use crate::types::{CachedAnswer, HostChoice, RequestFacts, ResourceSnapshot};
use std::sync::Arc;

/// Alternatives to a live answer. A run asks for them only after a failure.
pub trait OperationContext: Sync {
    /// The models that may be used, best first.
    fn models(&self) -> &[String] {
        &[]
    }

    /// The hosts that may be used, with the one in use.
    fn hosts(&self) -> Option<HostChoice> {
        None
    }

    /// Goes on with the host at this index of [`hosts`](OperationContext::hosts).
    fn switch_host(&self, _index: u32) {}

    /// Name of the host in use, for events.
    #[doc(hidden)]
    fn host_name(&self) -> Option<Arc<str>> {
        None
    }

    /// Goes on with this model, one of [`models`](OperationContext::models).
    #[doc(hidden)]
    fn switch_model(&self, _model: &str) {}

    /// Facts about the request, where it goes to a model.
    fn request(&self) -> Option<RequestFacts> {
        None
    }

    /// The breaker of a model, where each model has its own: on the host in use, where there are several.
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
