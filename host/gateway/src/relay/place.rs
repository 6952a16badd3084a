//! The hosts and models of one request, as the policy sees them.

use super::question::Question;
use crate::hosts::Hosts;
use crate::hosts::balance::{Candidate, Ranking};
use crate::hosts::host::{Host, Kind};
use crate::hosts::names::ModelName;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use upright_core::breaker::CircuitBreaker;
use upright_core::driving::OperationContext;
use upright_core::types::{CachedAnswer, HostChoice, RequestFacts};

/// Hosts, best first, and models of one request.
pub(super) struct Place {
    hosts: Arc<Hosts>,
    serving: Mutex<Serving>,
    model: ModelName,
    /// The model's name as the host gets it.
    sent: Arc<str>,
    /// Smallest window that will do.
    window: Option<u32>,
    /// The only API that will do.
    kind: Option<Kind>,
    chain: Vec<String>,
    request: RequestFacts,
    cached: Option<CachedAnswer>,
}

/// Hosts of the model in use.
struct Serving {
    ranking: Ranking,
    /// Index in the ranking.
    current: u32,
    /// Attempts that failed on each host of the ranking.
    failed: Vec<u32>,
    /// Whether a host lacked the model, so that lists of models may be out of date.
    missing: bool,
}

impl Serving {
    fn new(ranking: Ranking) -> Self {
        let failed = vec![0; ranking.candidates().len()];
        Self { ranking, current: 0, failed, missing: false }
    }
}

impl Place {
    pub(super) fn new(
        hosts: Arc<Hosts>,
        ranking: Ranking,
        kind: Option<Kind>,
        question: &Question,
        chain: Vec<String>,
        cached: Option<CachedAnswer>,
    ) -> Self {
        let (model, sent, request) = (question.model.clone(), Arc::clone(&question.sent), question.facts());
        let window = question.asked.window.and_then(|window| u32::try_from(window).ok());
        Self { hosts, serving: Mutex::new(Serving::new(ranking)), model, sent, window, kind, chain, request, cached }
    }

    fn serving(&self) -> MutexGuard<'_, Serving> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn model(&self, sent: &str) -> Option<ModelName> {
        if *sent == *self.sent { Some(self.model.clone()) } else { ModelName::of(sent) }
    }

    /// The host in use; `None` where there is none at all.
    pub(super) fn host(&self) -> Option<&Arc<Host>> {
        let serving = self.serving();
        self.hosts.all().get(serving.ranking.host(serving.current)?)
    }

    /// Whether another host may serve in place of the one in use.
    pub(super) fn has_others(&self) -> bool {
        let serving = self.serving();
        let is_other = |(index, candidate): (u32, &Candidate)| {
            index != serving.current && candidate.admits && candidate.rate > 0 && candidate.has_model != Some(false)
        };
        (0..).zip(serving.ranking.candidates()).any(is_other)
    }

    /// The hosts that the request may wait for, each with its index in the ranking: the best, and those that have the
    /// model and would evict no more than the best.
    pub(super) fn choices(&self) -> Vec<(u32, &Arc<Host>)> {
        let serving = self.serving();
        let candidates = serving.ranking.candidates();
        // A model that is loaded somewhere, or waits for memory there, moves nowhere else.
        let evicts = candidates.first().map_or(0, |best| if best.memory.warm { 0 } else { best.memory.others });
        let will_do =
            |other: &Candidate| other.admits && other.rate > 0 && other.has_model != Some(false) && other.memory.evicts() <= evicts;
        let chosen = (0..).zip(candidates).filter(|(index, candidate)| *index == 0 || will_do(candidate));
        chosen.filter_map(|(index, candidate)| Some((index, self.hosts.all().get(candidate.host)?))).collect()
    }

    /// An attempt failed on the host in use, perhaps because the model is `missing` there.
    pub(super) fn failed_here(&self, missing: bool) {
        let mut serving = self.serving();
        serving.missing |= missing;
        let current = serving.current as usize;
        if let Some(failed) = serving.failed.get_mut(current) {
            *failed += 1;
        }
    }
}

impl OperationContext for Place {
    fn models(&self) -> &[String] {
        &self.chain
    }

    fn hosts(&self) -> Option<HostChoice> {
        let serving = self.serving();
        let mut choice = serving.ranking.choice(self.hosts.all(), serving.ranking.host(serving.current)?, Some(&self.model))?;
        for (facts, failed) in choice.hosts.iter_mut().zip(&serving.failed) {
            facts.failed = *failed;
            // A model may have been pulled there since.
            facts.has_model = facts.has_model.filter(|has_model| *has_model || !serving.missing);
        }
        Some(choice)
    }

    fn switch_host(&self, index: u32) {
        self.serving().current = index;
    }

    fn host_name(&self) -> Option<Arc<str>> {
        self.host().map(|host| Arc::clone(host.name()))
    }

    fn switch_model(&self, model: &str) {
        let model = self.model(model);
        *self.serving() = Serving::new(self.hosts.rank(model.as_ref(), self.window, self.kind));
    }

    fn request(&self) -> Option<RequestFacts> {
        Some(self.request)
    }

    fn cached(&self) -> Option<CachedAnswer> {
        self.cached
    }

    fn breaker(&self, model: &str) -> Option<CircuitBreaker> {
        let model = self.model(model)?;
        self.host().map(|host| host.model_breaker(&model))
    }
}
