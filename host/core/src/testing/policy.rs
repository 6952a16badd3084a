//! Lets tests decide.

use crate::policy::{Answer, Ask, Decider, PolicyFailure, PolicySlot};
use crate::types::*;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use upright_logic as native;

/// `None`: the usual answer.
type Replacement<F> = Option<Arc<F>>;

/// A policy whose answers a test sets. Clones share incidents and directives.
///
/// It otherwise answers like the built-in policy. Answers are checked like a component's: nonsense is a failure, and
/// `upright_runtime::STRIKES` failures within a minute replace the policy. So tests can provoke that.
///
/// Closures get the usual answer last:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io;
/// use upright::RetryStrategy;
/// use upright::testing::{DrivenClock, Script, TestPolicy};
/// use upright::types::{Directive, FaultKind, Verdict};
///
/// let policy = TestPolicy::new().decide(|incident, usual| match incident.failure.kind {
///     FaultKind::ConnectionRefused => Verdict { directive: Directive::RetryAfter(0.5), ..usual },
///     _ => usual,
/// });
/// let clock = DrivenClock::skipping();
/// let retry = RetryStrategy::builder().policy(policy.slot()).clock(clock.shared()).build()?;
/// let connect = Script::failing(1, || io::Error::from(io::ErrorKind::ConnectionRefused)).then_ok(());
/// retry.execute(|| connect.call()).await?;
/// assert_eq!(clock.waits()[0].as_millis(), 500);
/// assert_eq!(policy.incidents().len(), 1);
/// # Ok(()) }
/// ```
///
/// Questions are independent: a failed guarded call asks only [`decide`](Self::decide).
#[derive(Clone, Default)]
#[expect(clippy::type_complexity, reason = "each closure has the parameters of its question")]
pub struct TestPolicy {
    decide: Replacement<dyn Fn(&Incident, Verdict) -> Verdict + Send + Sync>,
    classify: Replacement<dyn Fn(&Fault, Classification) -> Classification + Send + Sync>,
    delay: Replacement<dyn Fn(&RetryConfig, u32, f64, Seconds) -> Seconds + Send + Sync>,
    step: Replacement<dyn Fn(&BreakerState, &Observation, Transition) -> Transition + Send + Sync>,
    recommend: Replacement<dyn Fn(Profile, Recommendation) -> Recommendation + Send + Sync>,
    next_model: Replacement<dyn Fn(&str, &[String], Option<u32>) -> Option<u32> + Send + Sync>,
    simplify_workflow: Replacement<dyn Fn(&[WorkflowEntry], Vec<WorkflowEdit>) -> Vec<WorkflowEdit> + Send + Sync>,
    may_serve_cached: Replacement<dyn Fn(Seconds, Seconds, &Classification, bool) -> bool + Send + Sync>,
    judge: Replacement<dyn Fn(&ResourceSnapshot, &ResourceThresholds, Judgement) -> Judgement + Send + Sync>,
    traps: bool,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Default)]
struct Asked {
    directives: VecDeque<Directive>,
    incidents: Vec<Incident>,
}

impl fmt::Debug for TestPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked();
        write!(formatter, "TestPolicy({} incidents, {} directives left)", asked.incidents.len(), asked.directives.len())
    }
}

impl TestPolicy {
    /// Answers like the built-in policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// A slot for the builders' `policy`.
    pub fn slot(&self) -> PolicySlot {
        PolicySlot::of(self.clone())
    }

    /// Incidents, in order.
    pub fn incidents(&self) -> Vec<Incident> {
        self.asked().incidents.clone()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Directives for the next incidents, before [`TestPolicy::decide`]; the rest stays usual.
    #[must_use]
    pub fn directives(self, directives: impl IntoIterator<Item = Directive>) -> Self {
        self.asked().directives.extend(directives);
        self
    }

    /// Decides failures, and breaker rejections that something can serve.
    #[must_use]
    pub fn decide(mut self, replace: impl Fn(&Incident, Verdict) -> Verdict + Send + Sync + 'static) -> Self {
        self.decide = Some(Arc::new(replace));
        self
    }

    /// Classifies, if only that is asked ([`crate::ErrorClassifier`], [`PolicySlot::classify`]).
    #[must_use]
    pub fn classify(mut self, replace: impl Fn(&Fault, Classification) -> Classification + Send + Sync + 'static) -> Self {
        self.classify = Some(Arc::new(replace));
        self
    }

    /// Delay in seconds after an attempt (from 0), by a number in [0, 1), if only that is asked
    /// ([`crate::RetryStrategy::delay`]).
    #[must_use]
    pub fn delay(mut self, replace: impl Fn(&RetryConfig, u32, f64, Seconds) -> Seconds + Send + Sync + 'static) -> Self {
        self.delay = Some(Arc::new(replace));
        self
    }

    /// Moves a breaker after a timeout, successful probe or slow call; [`TestPolicy::decide`] does after failures.
    #[must_use]
    pub fn step(mut self, replace: impl Fn(&BreakerState, &Observation, Transition) -> Transition + Send + Sync + 'static) -> Self {
        self.step = Some(Arc::new(replace));
        self
    }

    /// Recommends settings.
    #[must_use]
    pub fn recommend(mut self, replace: impl Fn(Profile, Recommendation) -> Recommendation + Send + Sync + 'static) -> Self {
        self.recommend = Some(Arc::new(replace));
        self
    }

    /// Index of the next model.
    #[must_use]
    pub fn next_model(mut self, replace: impl Fn(&str, &[String], Option<u32>) -> Option<u32> + Send + Sync + 'static) -> Self {
        self.next_model = Some(Arc::new(replace));
        self
    }

    /// Lightens a workflow.
    #[must_use]
    pub fn simplify_workflow(
        mut self,
        replace: impl Fn(&[WorkflowEntry], Vec<WorkflowEdit>) -> Vec<WorkflowEdit> + Send + Sync + 'static,
    ) -> Self {
        self.simplify_workflow = Some(Arc::new(replace));
        self
    }

    /// Whether an answer of the first age (seconds) may be served, up to the second.
    #[must_use]
    pub fn may_serve_cached(mut self, replace: impl Fn(Seconds, Seconds, &Classification, bool) -> bool + Send + Sync + 'static) -> Self {
        self.may_serve_cached = Some(Arc::new(replace));
        self
    }

    /// Judges resources.
    #[must_use]
    pub fn judge(
        mut self,
        replace: impl Fn(&ResourceSnapshot, &ResourceThresholds, Judgement) -> Judgement + Send + Sync + 'static,
    ) -> Self {
        self.judge = Some(Arc::new(replace));
        self
    }

    /// Fails every question, like a trap.
    #[must_use]
    pub fn trapping(mut self) -> Self {
        self.traps = true;
        self
    }

    fn verdict(&self, incident: &Incident, usual: Verdict) -> Verdict {
        let directive = {
            let mut asked = self.asked();
            asked.incidents.push(incident.clone());
            asked.directives.pop_front()
        };
        match (directive, &self.decide) {
            (Some(directive), _) => directed(directive, usual),
            (None, Some(replace)) => replace(incident, usual),
            (None, None) => usual,
        }
    }
}

impl Decider for TestPolicy {
    fn describe(&self) -> Description {
        Description { name: "test-policy".into(), ..native::metadata::describe() }
    }

    fn answer(&self, ask: Ask<'_>) -> Result<Answer, PolicyFailure> {
        let usual = ask.answer_natively();
        let answer = match (ask, usual) {
            (Ask::Decide { incident }, Answer::Decide(usual)) => Answer::Decide(self.verdict(incident, usual)),
            (Ask::Recommend { profile }, Answer::Recommend(usual)) => {
                Answer::Recommend(replaced(&self.recommend, usual, |replace, usual| replace(*profile, usual)))
            }
            (Ask::Delay { config, attempt, random }, Answer::Delay(usual)) => {
                Answer::Delay(replaced(&self.delay, usual, |replace, usual| replace(config, *attempt, *random, usual)))
            }
            (Ask::Step { state, observation, .. }, Answer::Step(usual)) => {
                Answer::Step(replaced(&self.step, usual, |replace, usual| replace(state, observation, usual)))
            }
            (Ask::Classify { fault }, Answer::Classify(usual)) => {
                Answer::Classify(replaced(&self.classify, usual, |replace, usual| replace(fault, usual)))
            }
            (Ask::NextModel { current, chain }, Answer::NextModel(usual)) => {
                Answer::NextModel(replaced(&self.next_model, usual, |replace, usual| replace(current, chain, usual)))
            }
            (Ask::SimplifyWorkflow { workflow }, Answer::SimplifyWorkflow(usual)) => {
                Answer::SimplifyWorkflow(replaced(&self.simplify_workflow, usual, |replace, usual| replace(workflow, usual)))
            }
            (Ask::MayServeCached { age, max_age, failure }, Answer::MayServeCached(usual)) => {
                Answer::MayServeCached(replaced(&self.may_serve_cached, usual, |replace, usual| replace(*age, *max_age, failure, usual)))
            }
            (Ask::Judge { snapshot, thresholds }, Answer::Judge(usual)) => {
                Answer::Judge(replaced(&self.judge, usual, |replace, usual| replace(snapshot, thresholds, usual)))
            }
            (_, usual) => usual,
        };
        if self.traps {
            let function = ask.function();
            return Err(PolicyFailure::NoAnswer(format!("the policy trapped in {function}: as the test says").into()));
        }
        Ok(answer)
    }
}

fn replaced<F: ?Sized, R>(replacement: &Replacement<F>, usual: R, answer: impl FnOnce(&F, R) -> R) -> R {
    match replacement {
        Some(replace) => answer(replace, usual),
        None => usual,
    }
}

/// The reason must not contradict the directive.
fn directed(directive: Directive, usual: Verdict) -> Verdict {
    let reason = match (directive, usual.reason) {
        (Directive::RetryAfter(_) | Directive::AskAgain, _) => Reason::Retryable,
        (_, Reason::Retryable) => Reason::NotRetryable,
        (_, reason) => reason,
    };
    Verdict { directive, reason, ..usual }
}

#[cfg(test)]
mod tests;
