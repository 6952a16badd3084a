//! Policies for tests that are not about time: with a limit that no machine reaches by being slow, busy or shared.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

use std::time::Duration;
use upright::policy::PolicyLoader;
use upright::{Policy, PolicyLifecycle};

/// A loader that gives every decision the longest time that there is.
pub(crate) fn loader() -> PolicyLoader {
    PolicyLoader::default().decision_limit(Duration::from_secs(10))
}

/// A policy of these bytes, whatever the probe would have against it.
pub(crate) fn policy(bytes: &[u8]) -> Policy {
    loader().probe(false).from_bytes(bytes).unwrap()
}

/// The policy that comes with the crate.
pub(crate) fn built_in() -> Policy {
    policy(Policy::built_in().unwrap().bytes())
}

/// A slot with that policy.
pub(crate) fn slot() -> PolicyLifecycle {
    PolicyLifecycle::new(built_in())
}
