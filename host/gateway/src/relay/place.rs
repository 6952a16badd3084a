//! The hosts and models of one request, as the policy sees them.

use crate::hosts::Host;
use crate::hosts::names::ModelName;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use upright_core::breaker::CircuitBreaker;
use upright_core::driving::OperationContext;
use upright_core::types::{HostChoice, RequestFacts};

/// A host of a request.
struct Choice {
    host: Arc<Host>,
    /// Attempts that failed there, of this request.
    failed: AtomicU32,
}

/// Hosts, best first, and models of one request.
pub(super) struct Place {
    hosts: Vec<Choice>,
    current: AtomicU32,
    model: ModelName,
    chain: Vec<String>,
    request: RequestFacts,
}

impl Place {
    pub(super) fn new(hosts: Vec<Arc<Host>>, model: ModelName, chain: Vec<String>, request: RequestFacts) -> Self {
        let hosts = hosts.into_iter().map(|host| Choice { host, failed: AtomicU32::new(0) }).collect();
        Self { hosts, current: AtomicU32::new(0), model, chain, request }
    }

    /// The host in use; `None` where there is none at all.
    pub(super) fn host(&self) -> Option<&Arc<Host>> {
        self.here().map(|choice| &choice.host)
    }

    /// An attempt failed on the host in use.
    pub(super) fn failed_here(&self) {
        if let Some(here) = self.here() {
            here.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn here(&self) -> Option<&Choice> {
        self.hosts.get(self.current.load(Ordering::Relaxed) as usize)
    }
}

impl OperationContext for Place {
    fn models(&self) -> &[String] {
        &self.chain
    }

    fn hosts(&self) -> Option<HostChoice> {
        let facts = |choice: &Choice| choice.host.facts(&self.model, choice.failed.load(Ordering::Relaxed));
        Some(HostChoice { current: self.current.load(Ordering::Relaxed), hosts: self.hosts.iter().map(facts).collect() })
    }

    fn switch_host(&self, index: u32) {
        self.current.store(index, Ordering::Relaxed);
    }

    fn request(&self) -> Option<RequestFacts> {
        Some(self.request)
    }

    fn breaker(&self, model: &str) -> Option<CircuitBreaker> {
        self.host().map(|host| host.breaker(model))
    }
}
