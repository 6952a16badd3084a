//! Policies with time limits beyond the reach of a slow machine.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

use std::time::Duration;
use upright::policy::PolicyLoader;
use upright::{Policy, PolicyLifecycle};

pub(crate) fn loader() -> PolicyLoader {
    PolicyLoader::default().decision_limit(Duration::from_secs(10))
}

pub(crate) fn policy(bytes: &[u8]) -> Policy {
    loader().probe(false).from_bytes(bytes).unwrap()
}

pub(crate) fn built_in() -> Policy {
    policy(Policy::built_in().unwrap().bytes())
}

pub(crate) fn slot() -> PolicyLifecycle {
    PolicyLifecycle::new(built_in())
}
