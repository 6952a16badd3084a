//! Makes questions and answers values.
//!
//! Journals, vectors and `upright policy eval` share this spelling:
//!
//! ```json
//! {"function":"backoff.delay","arguments":{"config":{…},"attempt":1,"random":0.5}}
//! ```
//!
//! The answer is the bare result, so reading it needs its question.

use super::check;
use super::decider::{Decider, PolicyFailure};
use super::slot::bounded_message;
use crate::types::*;
use serde::{Deserialize, Deserializer, Serialize};
use upright_logic as native;
use upright_logic::types::MESSAGE_LIMIT;

trait Argument {
    type Lent: ?Sized;

    fn lend(&self) -> &Self::Lent;

    /// Copies only the text that a policy sees, so records stay bounded.
    fn keep(lent: &Self::Lent) -> Self;
}

macro_rules! arguments {
    ($( $ty:ty: $lent:ty = $keep:expr; )+) => { $(
        impl Argument for $ty {
            type Lent = $lent;

            fn lend(&self) -> &$lent {
                self
            }

            fn keep(lent: &$lent) -> Self {
                let keep: fn(&$lent) -> Self = $keep;
                keep(lent)
            }
        }
    )+ };
}

arguments! {
    u64: u64 = |number| *number;
    u32: u32 = |number| *number;
    f64: f64 = |number| *number;
    Profile: Profile = |profile| *profile;
    RetryConfig: RetryConfig = |config| *config;
    BreakerConfig: BreakerConfig = |config| *config;
    Observation: Observation = |observation| *observation;
    ResourceSnapshot: ResourceSnapshot = |snapshot| *snapshot;
    ResourceThresholds: ResourceThresholds = |thresholds| *thresholds;
    BreakerState: BreakerState = Clone::clone;
    Classification: Classification = Clone::clone;
    Fault: Fault = bounded_fault;
    Incident: Incident = bounded_incident;
    String: str = ToOwned::to_owned;
    Vec<String>: [String] = ToOwned::to_owned;
    Vec<WorkflowEntry>: [WorkflowEntry] = ToOwned::to_owned;
}

macro_rules! functions {
    ($( $(#[$meta:meta])* $case:ident = $name:literal { $( $(#[$field_meta:meta])* $field:ident: $ty:ty => $lent:ty, )* } -> $answer:ty; )+) => {
        /// A function of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Function {
            $( $(#[$meta])* #[serde(rename = $name)] $case, )+
        }

        /// A question with its arguments.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "function", content = "arguments")]
        // Nearly all questions are the largest.
        #[allow(clippy::large_enum_variant)]
        pub enum Question {
            $( $(#[$meta])* #[serde(rename = $name)] $case { $( $(#[$field_meta])* $field: $ty, )* }, )+
        }

        /// A question with borrowed arguments.
        #[derive(Clone, Copy, Debug)]
        pub enum Ask<'a> {
            $( $(#[$meta])* $case { $( $(#[$field_meta])* $field: &'a $lent, )* }, )+
        }

        /// An answer; [`Function::read_answer`] reads its JSON.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        #[allow(clippy::large_enum_variant)]
        pub enum Answer {
            $( $(#[$meta])* $case($answer), )+
        }

        impl Function {
            /// All functions.
            pub const ALL: &'static [Self] = &[ $( Self::$case, )+ ];

            /// `interface.function`.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$case => $name, )+ }
            }

            /// Reads arguments.
            ///
            /// # Errors
            /// The deserializer's, for missing, unknown or malformed arguments.
            #[doc(hidden)]
            pub fn read_arguments<'de, D: Deserializer<'de>>(self, from: D) -> Result<Question, D::Error> {
                match self {
                    $( Self::$case => {
                        #[derive(Deserialize)]
                        #[serde(deny_unknown_fields)]
                        struct Arguments { $( $field: $ty, )* }
                        let Arguments { $( $field, )* } = Arguments::deserialize(from)?;
                        Ok(Question::$case { $( $field, )* })
                    } )+
                }
            }

            /// Reads an answer.
            ///
            /// # Errors
            /// The deserializer's, for a malformed answer.
            #[doc(hidden)]
            pub fn read_answer<'de, D: Deserializer<'de>>(self, from: D) -> Result<Answer, D::Error> {
                match self { $( Self::$case => <$answer>::deserialize(from).map(Answer::$case), )+ }
            }
        }

        impl Question {
            /// The function.
            pub const fn function(&self) -> Function {
                match self { $( Self::$case { .. } => Function::$case, )+ }
            }

            /// Borrows the arguments.
            #[doc(hidden)]
            pub fn ask(&self) -> Ask<'_> {
                match self { $( Self::$case { $( $field, )* } => Ask::$case { $( $field: $field.lend(), )* }, )+ }
            }
        }

        impl Ask<'_> {
            /// The function.
            pub const fn function(&self) -> Function {
                match self { $( Self::$case { .. } => Function::$case, )+ }
            }

            /// Copies the arguments; long messages are cut as for a policy.
            pub fn to_question(&self) -> Question {
                match self { $( Self::$case { $( $field, )* } => Question::$case { $( $field: <$ty as Argument>::keep(*$field), )* }, )+ }
            }
        }
    };
}

functions! {
    /// Describes the policy.
    Describe = "metadata.describe" {} -> Description;
    /// Decides on a failure.
    Decide = "recovery.decide" {
        /// Failure and facts.
        incident: Incident => Incident,
    } -> Verdict;
    /// Moves a breaker.
    Step = "breaker.step" {
        /// Settings.
        config: BreakerConfig => BreakerConfig,
        /// State.
        state: BreakerState => BreakerState,
        /// Event.
        observation: Observation => Observation,
    } -> Transition;
    /// A breaker's first state.
    Initial = "breaker.initial" {
        /// Now, in nanoseconds.
        now: u64 => u64,
    } -> Transition;
    /// Classifies a failure.
    Classify = "classifier.classify" {
        /// Failure.
        fault: Fault => Fault,
    } -> Classification;
    /// Delay before a retry, in seconds.
    Delay = "backoff.delay" {
        /// Settings.
        config: RetryConfig => RetryConfig,
        /// Number of the failed attempt, from 0.
        attempt: u32 => u32,
        /// Random number in [0, 1).
        random: f64 => f64,
    } -> Seconds;
    /// Chooses the next model.
    NextModel = "degradation.next_model" {
        /// Failed model.
        current: String => str,
        /// Model chain, best first.
        chain: Vec<String> => [String],
    } -> Option<u32>;
    /// Lightens a workflow.
    SimplifyWorkflow = "degradation.simplify_workflow" {
        /// Entries.
        workflow: Vec<WorkflowEntry> => [WorkflowEntry],
    } -> Vec<WorkflowEdit>;
    /// Whether a cached answer may be served.
    MayServeCached = "degradation.may_serve_cached" {
        /// Age, in seconds.
        age: Seconds => Seconds,
        /// Maximum age, in seconds.
        max_age: Seconds => Seconds,
        /// Failure.
        failure: Classification => Classification,
    } -> bool;
    /// Judges the machine's resources.
    Judge = "health.judge" {
        /// Resources.
        snapshot: ResourceSnapshot => ResourceSnapshot,
        /// Thresholds.
        thresholds: ResourceThresholds => ResourceThresholds,
    } -> Judgement;
    /// Recommends settings.
    Recommend = "settings.recommend" {
        /// Kind of operation.
        profile: Profile => Profile,
    } -> Recommendation;
}

impl std::fmt::Display for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl Ask<'_> {
    /// The built-in logic's answer. It reads no more text than a component.
    pub fn answer_natively(self) -> Answer {
        match self {
            Self::Describe {} => Answer::Describe(native::metadata::describe()),
            Self::Decide { incident } => {
                let mut incident = incident.clone();
                bounded_message(&mut incident.failure.message);
                Answer::Decide(native::recovery::decide(incident))
            }
            Self::Step { config, state, observation } => Answer::Step(native::breaker::step(config, state.clone(), observation)),
            Self::Initial { now } => Answer::Initial(native::breaker::initial(*now)),
            Self::Classify { fault } if fault.message.len() > MESSAGE_LIMIT => {
                let mut fault = fault.clone();
                bounded_message(&mut fault.message);
                Answer::Classify(native::classifier::classify(&fault))
            }
            Self::Classify { fault } => Answer::Classify(native::classifier::classify(fault)),
            Self::Delay { config, attempt, random } => Answer::Delay(native::backoff::delay(config, *attempt, *random)),
            Self::NextModel { current, chain } => Answer::NextModel(native::degradation::next_model(current, chain)),
            Self::SimplifyWorkflow { workflow } => Answer::SimplifyWorkflow(native::degradation::simplify_workflow(workflow)),
            Self::MayServeCached { age, max_age, failure } => {
                Answer::MayServeCached(native::degradation::may_serve_cached(*age, *max_age, failure))
            }
            Self::Judge { snapshot, thresholds } => Answer::Judge(native::health::judge(snapshot, thresholds)),
            Self::Recommend { profile } => Answer::Recommend(native::settings::recommend(*profile)),
        }
    }

    /// Checks an answer.
    ///
    /// # Errors
    /// [`PolicyFailure::Nonsense`] with the answer and the allowed ones.
    pub fn check(&self, answer: &Answer) -> Result<(), PolicyFailure> {
        match (self, answer) {
            (Self::Describe {}, Answer::Describe(description)) => check::description(description),
            (Self::Decide { incident }, Answer::Decide(verdict)) => check::verdict(verdict, incident),
            (Self::Step { config, state, observation }, Answer::Step(transition)) => {
                check::transition(transition, Some(state), config, observation.now, "breaker.step")
            }
            (Self::Initial { now }, Answer::Initial(transition)) => {
                check::transition(transition, None, &BreakerConfig::default(), **now, "breaker.initial")
            }
            (Self::Classify { .. }, Answer::Classify(classification)) => check::classification(classification, "classifier.classify"),
            (Self::Delay { config, .. }, Answer::Delay(seconds)) => check::delay(*seconds, config, "backoff.delay"),
            (Self::NextModel { chain, .. }, Answer::NextModel(index)) => check::next_model(*index, chain.len(), "degradation.next-model"),
            (Self::SimplifyWorkflow { workflow }, Answer::SimplifyWorkflow(edits)) => check::edits(edits, workflow.len()),
            (Self::Judge { .. }, Answer::Judge(judgement)) => check::judgement(judgement),
            (Self::Recommend { .. }, Answer::Recommend(recommendation)) => check::recommendation(recommendation),
            (Self::MayServeCached { .. }, Answer::MayServeCached(_)) => Ok(()),
            (ask, answer) => Err(PolicyFailure::Nonsense {
                function: ask.function().name(),
                answer: format!("{answer:?}"),
                expected: "an answer of that function",
            }),
        }
    }
}

impl Question {
    /// Asks a policy; the answer is unchecked.
    ///
    /// # Errors
    /// [`PolicyFailure::NoAnswer`].
    #[doc(hidden)]
    pub fn put_to(&self, policy: &dyn Decider) -> Result<Answer, PolicyFailure> {
        policy.answer(self.ask())
    }

    /// The built-in logic's answer, without WebAssembly.
    #[doc(hidden)]
    pub fn answer_natively(&self) -> Answer {
        self.ask().answer_natively()
    }

    /// Checks an answer.
    ///
    /// # Errors
    /// [`PolicyFailure::Nonsense`] with the answer and the allowed ones.
    #[doc(hidden)]
    pub fn check(&self, answer: &Answer) -> Result<(), PolicyFailure> {
        self.ask().check(answer)
    }

    #[doc(hidden)]
    #[doc(hidden)]
    pub fn breaker_state_mut(&mut self) -> Option<&mut BreakerState> {
        match self {
            Self::Decide { incident } => incident.guard.as_mut().map(|guard| &mut guard.state),
            Self::Step { state, .. } => Some(state),
            _ => None,
        }
    }
}

fn bounded_incident(incident: &Incident) -> Incident {
    // By name: new text fields must be bounded too.
    let Incident { failure, attempt, elapsed, deadline, idempotent, retry_budget, retry, random, now, guard, models, .. } = incident;
    let Incident { at_hand, resources, circumstances, .. } = incident;
    Incident {
        failure: bounded_fault(failure),
        attempt: *attempt,
        elapsed: *elapsed,
        deadline: *deadline,
        idempotent: *idempotent,
        retry_budget: *retry_budget,
        retry: *retry,
        random: *random,
        now: *now,
        guard: guard.clone(),
        models: models.clone(),
        at_hand: *at_hand,
        resources: *resources,
        circumstances: circumstances.clone(),
    }
}

fn bounded_fault(fault: &Fault) -> Fault {
    let Fault { kind, status, errno, endpoint, message, labels, retry_after, should_retry, points_to } = fault;
    let bounded = |text: &String| if text.len() > MESSAGE_LIMIT { crate::fault::bounded(text) } else { text.clone() };
    let labels = labels.as_ref().map(|ErrorLabels { error_type, error_code }| ErrorLabels {
        error_type: error_type.as_ref().map(bounded),
        error_code: error_code.as_ref().map(bounded),
    });
    Fault {
        kind: *kind,
        status: *status,
        errno: *errno,
        endpoint: *endpoint,
        message: bounded(message),
        labels,
        retry_after: *retry_after,
        should_retry: *should_retry,
        points_to: points_to.as_ref().map(bounded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn vectors(interface: &str) -> Vec<Value> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/conformance/vectors");
        let text = std::fs::read_to_string(format!("{folder}/{interface}.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    const INTERFACES: [&str; 8] = ["metadata", "settings", "backoff", "breaker", "classifier", "degradation", "health", "recovery"];

    #[test]
    fn every_vector_is_a_question_and_its_native_answer_is_the_vectors() {
        let mut functions = std::collections::BTreeSet::new();
        for vector in INTERFACES.into_iter().flat_map(vectors) {
            let question = Question::deserialize(&vector).unwrap();
            let answer = question.answer_natively();
            assert_eq!(question.function().read_answer(&vector["answer"]).unwrap(), answer, "{}", vector["name"]);
            assert_eq!(serde_json::to_value(&answer).unwrap(), vector["answer"], "{}", vector["name"]);
            functions.insert(question.function());
        }
        assert_eq!(functions.into_iter().collect::<Vec<_>>(), Function::ALL);
    }

    #[test]
    fn a_question_survives_serialization() {
        for vector in INTERFACES.into_iter().flat_map(|interface| vectors(interface).into_iter().take(50)) {
            let question = Question::deserialize(&vector).unwrap();
            let text = serde_json::to_string(&question).unwrap();
            assert_eq!(serde_json::from_str::<Question>(&text).unwrap(), question);
            let arguments: Value = serde_json::from_str::<Value>(&text).unwrap()["arguments"].take();
            assert_eq!(question.function().read_arguments(&arguments).unwrap(), question);
        }
    }

    #[test]
    fn an_answer_of_another_function_is_rejected_as_nonsense() {
        let question = Question::Initial { now: 1 };
        assert!(matches!(question.check(&Answer::Delay(1.0)), Err(PolicyFailure::Nonsense { function: "breaker.initial", .. })));
        let odd = json!({ "function": "backoff.delay", "arguments": { "attempt": 1 } });
        assert!(Question::deserialize(odd).unwrap_err().to_string().contains("config"));
    }
}
