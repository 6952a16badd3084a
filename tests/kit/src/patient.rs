//! Policies with time limits beyond the reach of a slow machine.

use std::time::Duration;
use upright::policy::PolicyLoader;
use upright::{Policy, PolicyLifecycle};

/// Loads policies that may take 10 s for a decision.
pub fn loader() -> PolicyLoader {
    PolicyLoader::default().decision_limit(Duration::from_secs(10))
}

/// A policy, without asking whether it passes the probe.
pub fn policy(bytes: &[u8]) -> Policy {
    loader().probe(false).from_bytes(bytes).unwrap()
}

/// The built-in policy.
pub fn built_in() -> Policy {
    policy(Policy::built_in().unwrap().bytes())
}

/// A lifecycle that begins with the built-in policy.
pub fn slot() -> PolicyLifecycle {
    PolicyLifecycle::new(built_in())
}
