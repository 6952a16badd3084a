//! The hosts and models of one request, as the policy sees them.

use super::question::Question;
use crate::hosts::Hosts;
use crate::hosts::balance::{Candidate, Ranking};
use crate::hosts::host::Host;
use crate::hosts::names::ModelName;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use upright_core::breaker::CircuitBreaker;
use upright_core::driving::OperationContext;
use upright_core::types::{CachedAnswer, HostChoice, RequestFacts};

/// Hosts, best first, and models of one request.
pub(super) struct Place {
    hosts: Arc<Hosts>,
    ranking: Ranking,
    /// Index in the ranking.
    current: AtomicU32,
    /// Attempts that failed on each host of the ranking.
    failed: Vec<AtomicU32>,
    model: ModelName,
    /// The model's name as the host gets it.
    sent: Arc<str>,
    chain: Vec<String>,
    request: RequestFacts,
    cached: Option<CachedAnswer>,
}

impl Place {
    pub(super) fn new(hosts: Arc<Hosts>, ranking: Ranking, question: &Question, chain: Vec<String>, cached: Option<CachedAnswer>) -> Self {
        let failed = ranking.candidates().iter().map(|_| AtomicU32::new(0)).collect();
        let (model, sent, request) = (question.model.clone(), Arc::clone(&question.sent), question.facts());
        Self { hosts, ranking, current: AtomicU32::new(0), failed, model, sent, chain, request, cached }
    }

    /// The host in use; `None` where there is none at all.
    pub(super) fn host(&self) -> Option<&Arc<Host>> {
        self.hosts.all().get(self.ranking.host(self.current.load(Ordering::Relaxed))?)
    }

    /// The hosts that the request may wait for, each with its index in the ranking: the best, and those that have the
    /// model and would evict no more than the best.
    pub(super) fn choices(&self) -> Vec<(u32, &Arc<Host>)> {
        let candidates = self.ranking.candidates();
        let evicts = candidates.first().map_or(0, |best| best.memory.others);
        let will_do = |other: &Candidate| other.admits && other.rate > 0 && other.has_model != Some(false) && other.memory.others <= evicts;
        let chosen = (0..).zip(candidates).filter(|(index, candidate)| *index == 0 || will_do(candidate));
        chosen.filter_map(|(index, candidate)| Some((index, self.hosts.all().get(candidate.host)?))).collect()
    }

    /// An attempt failed on the host in use.
    pub(super) fn failed_here(&self) {
        if let Some(failed) = self.failed.get(self.current.load(Ordering::Relaxed) as usize) {
            failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl OperationContext for Place {
    fn models(&self) -> &[String] {
        &self.chain
    }

    fn hosts(&self) -> Option<HostChoice> {
        let current = self.current.load(Ordering::Relaxed);
        let mut choice = self.ranking.choice(self.hosts.all(), self.ranking.host(current)?, Some(&self.model))?;
        for (facts, failed) in choice.hosts.iter_mut().zip(&self.failed) {
            facts.failed = failed.load(Ordering::Relaxed);
        }
        Some(choice)
    }

    fn switch_host(&self, index: u32) {
        self.current.store(index, Ordering::Relaxed);
    }

    fn request(&self) -> Option<RequestFacts> {
        Some(self.request)
    }

    fn cached(&self) -> Option<CachedAnswer> {
        self.cached
    }

    fn breaker(&self, model: &str) -> Option<CircuitBreaker> {
        let model = if *model == *self.sent { self.model.clone() } else { ModelName::of(model)? };
        self.host().map(|host| host.model_breaker(&model))
    }
}
