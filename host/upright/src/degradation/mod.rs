//! Chooses a substitute when the best fails: another model, a lighter workflow, a cached answer.
//!
//! ```
//! use serde_json::json;
//! use std::time::Duration;
//! use upright::degradation::GracefulDegradation;
//!
//! let degradation = GracefulDegradation::new(["qwen3:8b", "gemma3:4b"]);
//! assert_eq!(degradation.fallback_model("qwen3:30b"), Some("qwen3:8b"));
//! assert_eq!(degradation.fallback_model("Qwen3:8B"), Some("gemma3:4b"));
//! assert_eq!(degradation.fallback_model("gemma3:4b"), None);
//!
//! let simplified = degradation.simplify_workflow(&json!({ "max_iterations": 10, "temperature": 0.7, "top_k": 50 }));
//! assert_eq!(simplified, json!({ "max_iterations": 3, "temperature": 0.3 }));
//!
//! degradation.cache().cache_response("query_123", json!({ "answer": 42 }));
//! let cached = degradation.cache().cached_response("query_123", Duration::from_secs(3600));
//! assert_eq!(cached.map(|cached| cached.value["answer"].clone()), Some(json!(42)));
//! ```

mod cache;
mod digests;
mod flight;
mod key;
mod limits;
mod workflow;
mod write_behind;

use crate::policy::PolicySlot;
pub use cache::{CachedResponse, ResponseCache};
pub use digests::ModelDigests;
pub(crate) use flight::{Flights, Landed, Lead, Turn};
pub use key::cache_key;
pub use limits::CacheLimits;
use serde_json::Value;
use std::sync::Arc;
use upright_logic::degradation::{DEFAULT_CHAIN, EDGE_CHAIN, QUALITY_CHAIN, SPEED_CHAIN};
pub use write_behind::{CacheCounts, StoredCacheOptions};

/// A model chain, a cache of responses, and a way to make workflows lighter. Clones share the cache.
#[derive(Clone)]
pub struct GracefulDegradation {
    fallback_models: Arc<[String]>,
    policy: PolicySlot,
    cache: ResponseCache,
}

impl Default for GracefulDegradation {
    /// Chain of `qwen3:8b` and `gemma3:4b`.
    fn default() -> Self {
        Self::new(DEFAULT_CHAIN)
    }
}

impl std::fmt::Debug for GracefulDegradation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "GracefulDegradation({:?})", self.fallback_models)
    }
}

impl GracefulDegradation {
    /// Falls back along this chain, best first. An empty chain means no fallback.
    pub fn new<I>(fallback_models: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self {
            fallback_models: fallback_models.into_iter().map(Into::into).collect(),
            policy: PolicySlot::native(),
            cache: ResponseCache::default(),
        }
    }

    /// Chain for speed: `qwen3:30b-a3b`, `qwen3:8b`, `gemma3:4b`.
    pub fn speed() -> Self {
        Self::new(SPEED_CHAIN)
    }

    /// Chain for quality: `qwen3:30b`, `qwen3:8b`.
    pub fn quality() -> Self {
        Self::new(QUALITY_CHAIN)
    }

    /// Chain for small machines: `gemma3:4b`, `gemma3:3b`.
    pub fn edge() -> Self {
        Self::new(EDGE_CHAIN)
    }

    /// Lets the slot's active policy decide.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<PolicySlot>) -> Self {
        self.policy = policy.into();
        self
    }

    /// Sets the cache of responses.
    #[must_use]
    pub fn with_cache(mut self, cache: ResponseCache) -> Self {
        self.cache = cache;
        self
    }

    /// The chain, best first.
    pub fn fallback_models(&self) -> &[String] {
        &self.fallback_models
    }

    /// Model to try after `current`; `None` after the last. Outside the chain: the first.
    pub fn fallback_model(&self, current: &str) -> Option<&str> {
        let index = self.policy.next_model(current, &self.fallback_models)?;
        self.fallback_models.get(index).map(String::as_str)
    }

    /// Returns a lighter copy of a workflow; a value that is no object returns unchanged.
    pub fn simplify_workflow(&self, workflow: &Value) -> Value {
        match workflow {
            Value::Object(object) => Value::Object(workflow::edited(object, &self.policy.simplify_workflow(&workflow::entries(object)))),
            other => other.clone(),
        }
    }

    /// The cache of responses.
    pub fn cache(&self) -> &ResponseCache {
        &self.cache
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn walked(degradation: &GracefulDegradation, from: &str) -> Vec<String> {
        let steps = std::iter::successors(degradation.fallback_model(from), |current| degradation.fallback_model(current));
        let walked: Vec<_> = steps.map(str::to_owned).take(20).collect();
        assert!(walked.len() < 20, "loops: {walked:?}");
        walked
    }

    #[test]
    fn the_specifications_chains_are_walked_to_their_ends() {
        assert_eq!(walked(&GracefulDegradation::speed(), "qwen3:30b-a3b"), ["qwen3:8b", "gemma3:4b"]);
        assert_eq!(walked(&GracefulDegradation::quality(), "qwen3:30b"), ["qwen3:8b"]);
        assert_eq!(walked(&GracefulDegradation::edge(), "gemma3:4b"), ["gemma3:3b"]);
        assert_eq!(walked(&GracefulDegradation::default(), "qwen3:30b"), ["qwen3:8b", "gemma3:4b"]);
    }

    #[test]
    fn another_spelling_of_the_model_that_failed_is_not_handed_back() {
        let degradation = GracefulDegradation::default();
        for spelling in ["Qwen3:8B", " qwen3:8b", "library/qwen3:8b"] {
            assert_eq!(degradation.fallback_model(spelling), Some("gemma3:4b"), "{spelling}");
        }
    }

    #[test]
    fn a_chain_with_repeats_ends() {
        assert_eq!(walked(&GracefulDegradation::new(["a", "b", "A:latest", "b", "c"]), "a"), ["b", "c"]);
    }

    #[test]
    fn an_empty_chain_stays_empty() {
        let degradation = GracefulDegradation::new(Vec::<String>::new());
        assert!(degradation.fallback_models().is_empty());
        assert_eq!(degradation.fallback_model("qwen3:8b"), None);
    }

    #[test]
    fn the_specifications_workflow_becomes_its_result() {
        let workflow = json!({ "max_iterations": 10, "tools": ["tool1", "tool2", "tool3", "tool4"], "temperature": 0.7, "top_k": 50 });
        let expected = json!({ "max_iterations": 3, "tools": ["tool1", "tool2", "tool3"], "temperature": 0.3 });
        for degradation in [GracefulDegradation::default(), GracefulDegradation::default().with_policy(PolicySlot::native())] {
            assert_eq!(degradation.simplify_workflow(&workflow), expected);
        }
    }

    #[test]
    fn simplifying_leaves_unknown_members_of_a_workflow_unchanged() {
        let degradation = GracefulDegradation::default();
        let odd = json!({
            "temperature": 0.0, "max_iterations": null, "tools": "search,calculator,browser,shell", "top_k": { "nested": 50 }, "other": [1, 2, 3, 4],
        });
        assert_eq!(degradation.simplify_workflow(&odd), odd);
        for value in [json!(null), json!([1, 2]), json!("text"), json!(3)] {
            assert_eq!(degradation.simplify_workflow(&value), value);
        }
    }
}
