//! Runs WebAssembly policies: verifies, swaps, shadows, rolls back and replays them at run time.
//!
//! A [`Policy`] answers questions about failures. A [`PolicyLifecycle`] manages a slot's policies.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod bindings;
mod empty_call;
mod engine;
mod error;
pub mod eval;
mod fuel;
mod inspect;
mod instance;
pub mod journal;
mod lifecycle;
mod limits;
mod link;
mod loader;
mod policy;
mod probe;
pub mod replay;
pub mod shadow;
pub mod signature;
#[cfg(feature = "wasi")]
mod wasi;

#[doc(hidden)]
pub use empty_call::EmptyCall;
#[doc(hidden)]
pub use engine::after_fork_in_child;
pub use error::PolicyError;
pub use inspect::{CONTRACT_VERSION, Surface};
pub use lifecycle::{
    HistoryEntry, LifeEvent, LifeObserver, PROBATION, PolicyLifecycle, STRIKE_WINDOW, STRIKES, SlotCounts, SwapOptions, WeakPolicyLifecycle,
};
pub use loader::PolicyLoader;
pub use policy::Policy;
pub use upright_core::events::Stage;

use upright_core::policy::label;
use upright_core::{clock, events, types};

/// Test policies, with a decision limit that no slow machine reaches.
#[cfg(test)]
mod patient {
    use crate::{Policy, PolicyLifecycle, PolicyLoader};
    use std::time::Duration;

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
}
