//! A question of the contract as a value, with its answer.
//!
//! Whoever writes a policy wants to ask it everything, compare, and measure: so a question can be read from data, put to any policy or to native
//! code, and its answer held against it as [`super::PolicySlot`] does. In JSON a question is `{"function": "backoff.delay", "arguments": {…}}`,
//! spelled as in [`super::eval`].

use super::check;
use super::error::PolicyError;
use super::loaded::Policy;
use super::questions::Questions;
use crate::types::*;
use serde::{Deserialize, Serialize};
use upright_logic as native;

/// A question, one case for each function of the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "function", content = "arguments", rename_all_fields = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract in `wit/` says what each argument means")]
pub enum Question {
    /// Who the policy is.
    #[serde(rename = "metadata.describe")]
    Describe {},
    /// Settings for a kind of operation.
    #[serde(rename = "settings.recommend")]
    Recommend { profile: Profile },
    /// How long to wait.
    #[serde(rename = "backoff.delay")]
    Delay { config: RetryConfig, attempt: u32, random: f64 },
    /// The first state of a breaker.
    #[serde(rename = "breaker.initial")]
    Initial { now: u64 },
    /// A breaker's next state.
    #[serde(rename = "breaker.step")]
    Step { config: BreakerConfig, state: BreakerState, observation: Observation },
    /// What a failure means.
    #[serde(rename = "classifier.classify")]
    Classify { fault: Fault },
    /// The next model of a chain.
    #[serde(rename = "degradation.next_model")]
    NextModel { current: String, chain: Vec<String> },
    /// How to make a workflow lighter.
    #[serde(rename = "degradation.simplify_workflow")]
    SimplifyWorkflow { workflow: Vec<WorkflowEntry> },
    /// Whether an older answer may be served.
    #[serde(rename = "degradation.may_serve_cached")]
    MayServeCached { age: Seconds, max_age: Seconds, failure: Classification },
    /// Whether the machine is fit.
    #[serde(rename = "health.judge")]
    Judge { snapshot: ResourceSnapshot, thresholds: ResourceThresholds },
    /// What to do next.
    #[serde(rename = "recovery.decide")]
    Decide { incident: Box<Incident> },
}

/// The answer to a [`Question`]; in JSON it is what the function answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Question::Describe`].
    Description(Description),
    /// To [`Question::Recommend`].
    Recommendation(Recommendation),
    /// To [`Question::Delay`].
    Delay(Seconds),
    /// To [`Question::Initial`] and [`Question::Step`].
    Transition(Transition),
    /// To [`Question::Classify`].
    Classification(Classification),
    /// To [`Question::NextModel`].
    Model(Option<u32>),
    /// To [`Question::SimplifyWorkflow`].
    Edits(Vec<WorkflowEdit>),
    /// To [`Question::MayServeCached`].
    MayServe(bool),
    /// To [`Question::Judge`].
    Judgement(Judgement),
    /// To [`Question::Decide`].
    Verdict(Box<Verdict>),
}

impl Policy {
    /// Asks one question. The answer is as it was given; [`Question::check`] tells whether it makes sense.
    ///
    /// # Errors
    /// [`PolicyError`] says how the policy failed.
    pub fn answer(&self, question: &Question) -> Result<Answer, PolicyError> {
        Ok(match question {
            Question::Describe {} => Answer::Description(self.describe()),
            Question::Recommend { profile } => Answer::Recommendation(self.recommend(*profile)?),
            Question::Delay { config, attempt, random } => Answer::Delay(self.delay(config, *attempt, *random)?),
            Question::Initial { now } => Answer::Transition(self.initial(*now)?),
            Question::Step { config, state, observation } => Answer::Transition(self.step(config, state, observation)?),
            Question::Classify { fault } => Answer::Classification(self.classify(fault)?),
            Question::NextModel { current, chain } => Answer::Model(self.next_model(current, chain)?),
            Question::SimplifyWorkflow { workflow } => Answer::Edits(self.simplify_workflow(workflow)?),
            Question::MayServeCached { age, max_age, failure } => Answer::MayServe(self.may_serve_cached(*age, *max_age, failure)?),
            Question::Judge { snapshot, thresholds } => Answer::Judgement(self.judge(snapshot, thresholds)?),
            Question::Decide { incident } => Answer::Verdict(Box::new(self.decide(incident)?)),
        })
    }
}

impl Question {
    /// What the default policy answers, without WebAssembly.
    pub fn answer_natively(&self) -> Answer {
        match self {
            Self::Describe {} => Answer::Description(native::metadata::describe()),
            Self::Recommend { profile } => Answer::Recommendation(native::settings::recommend(*profile)),
            Self::Delay { config, attempt, random } => Answer::Delay(native::backoff::delay(config, *attempt, *random)),
            Self::Initial { now } => Answer::Transition(native::breaker::initial(*now)),
            Self::Step { config, state, observation } => Answer::Transition(native::breaker::step(config, state.clone(), observation)),
            Self::Classify { fault } => Answer::Classification(native::classifier::classify(fault)),
            Self::NextModel { current, chain } => Answer::Model(native::degradation::next_model(current, chain)),
            Self::SimplifyWorkflow { workflow } => Answer::Edits(native::degradation::simplify_workflow(workflow)),
            Self::MayServeCached { age, max_age, failure } => {
                Answer::MayServe(native::degradation::may_serve_cached(*age, *max_age, failure))
            }
            Self::Judge { snapshot, thresholds } => Answer::Judgement(native::health::judge(snapshot, thresholds)),
            Self::Decide { incident } => Answer::Verdict(Box::new(native::recovery::decide((**incident).clone()))),
        }
    }

    /// Whether an answer makes sense: what does not, [`super::PolicySlot`] does not follow.
    ///
    /// # Errors
    /// [`PolicyError::Nonsense`] says what was answered and what would have been right.
    pub fn check(&self, answer: &Answer) -> Result<(), PolicyError> {
        match (self, answer) {
            (Self::Describe {}, Answer::Description(answer)) => check::description(answer),
            (Self::Recommend { .. }, Answer::Recommendation(answer)) => check::recommendation(answer),
            (Self::Delay { config, .. }, Answer::Delay(answer)) => check::delay(*answer, config, "backoff.delay"),
            (Self::Initial { now }, Answer::Transition(answer)) => {
                check::transition(answer, None, &BreakerConfig::default(), *now, "breaker.initial")
            }
            (Self::Step { config, state, observation }, Answer::Transition(answer)) => {
                check::transition(answer, Some(state), config, observation.now, "breaker.step")
            }
            (Self::Classify { .. }, Answer::Classification(answer)) => check::classification(answer, "classifier.classify"),
            (Self::NextModel { chain, .. }, Answer::Model(answer)) => check::next_model(*answer, chain.len(), "degradation.next-model"),
            (Self::SimplifyWorkflow { workflow }, Answer::Edits(answer)) => check::edits(answer, workflow.len()),
            (Self::MayServeCached { .. }, Answer::MayServe(_)) => Ok(()),
            (Self::Judge { .. }, Answer::Judgement(answer)) => check::judgement(answer),
            (Self::Decide { incident }, Answer::Verdict(answer)) => check::verdict(answer, incident),
            (_, answer) => Err(PolicyError::Nonsense {
                function: "another function",
                answer: format!("{answer:?}"),
                expected: "an answer to the question that was asked",
            }),
        }
    }
}
