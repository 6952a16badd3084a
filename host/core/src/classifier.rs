//! Classifies failures and remembers the latest.
//!
//! The history ([`ErrorClassifier::error_patterns`]) keeps records, not errors, which may hold connections and
//! answers.
//!
//! ```
//! use upright::classifier::ErrorClassifier;
//! use upright::types::ErrorCategory;
//!
//! let classifier = ErrorClassifier::new(100);
//! let error = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
//! let info = classifier.classify_with_context(&error, &[("operation", "data_fetch")]);
//! assert_eq!(info.category, ErrorCategory::Connection);
//! assert!(info.retryable);
//! assert_eq!(info.suggested_action.text(), "Check service, retry with backoff");
//! assert_eq!(classifier.error_patterns().get("connection"), Some(&1));
//! ```

use crate::clock::{SharedClock, SystemClock};
use crate::fault::fault_of;
use crate::policy::PolicySlot;
use crate::types::{Classification, ErrorCategory, ErrorSeverity, Fault, FaultKind, SuggestedAction};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Default number of remembered errors.
const DEFAULT_HISTORY: usize = 100;
/// In bytes.
const MESSAGE_KEPT: usize = 160;
/// Maximum bytes of rules, keys and values.
const WORD_KEPT: usize = 64;
const CONTEXT_KEPT: usize = 8;

/// An error's classification.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorInfo {
    /// Category.
    pub category: ErrorCategory,
    /// Severity.
    pub severity: ErrorSeverity,
    /// Whether retrying can help.
    pub retryable: bool,
    /// Suggested action; [`SuggestedAction::text`] is a sentence.
    pub suggested_action: SuggestedAction,
    /// Matching rule.
    pub rule: String,
    /// Text with causes, bounded.
    pub message: String,
    /// Caller's context.
    pub context: BTreeMap<String, String>,
    /// Time; in JSON, seconds since 1970.
    #[serde(serialize_with = "epoch_seconds")]
    pub timestamp: SystemTime,
    /// Facts; JSON has only their message.
    #[serde(skip)]
    pub fault: Fault,
}

/// A remembered error.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorRecord {
    /// Category.
    pub category: ErrorCategory,
    /// Severity.
    pub severity: ErrorSeverity,
    /// Kind of fault.
    pub kind: FaultKind,
    /// HTTP status, if any.
    pub status: Option<u16>,
    /// Matching rule.
    pub rule: Box<str>,
    /// Beginning of the text, 160 bytes at most.
    pub message: Box<str>,
    /// Caller's context, at most eight entries, cut.
    #[serde(serialize_with = "as_map")]
    pub context: Box<[(Box<str>, Box<str>)]>,
    /// Time; in JSON, seconds since 1970.
    #[serde(serialize_with = "epoch_seconds")]
    pub timestamp: SystemTime,
}

type Decider = Arc<dyn Fn(&Fault) -> Classification + Send + Sync>;

/// Classifies errors and remembers the latest.
pub struct ErrorClassifier {
    decide: Decider,
    clock: SharedClock,
    history: Mutex<History>,
}

struct History {
    records: VecDeque<ErrorRecord>,
    limit: usize,
}

impl Default for ErrorClassifier {
    fn default() -> Self {
        Self::new(DEFAULT_HISTORY)
    }
}

impl std::fmt::Debug for ErrorClassifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let history = self.records();
        write!(formatter, "ErrorClassifier({} of at most {} errors remembered)", history.records.len(), history.limit)
    }
}

impl ErrorClassifier {
    /// Remembers `max_history` errors; the built-in logic decides.
    pub fn new(max_history: usize) -> Self {
        Self {
            decide: Arc::new(upright_logic::classifier::classify),
            clock: SystemClock::shared(),
            history: Mutex::new(History { records: VecDeque::new(), limit: max_history }),
        }
    }

    /// The slot's policy decides.
    #[must_use]
    pub fn with_policy(self, policy: impl Into<PolicySlot>) -> Self {
        let policy = policy.into();
        self.with_decider(move |fault| policy.classify(fault))
    }

    /// This function decides; it must not panic.
    fn with_decider(mut self, decide: impl Fn(&Fault) -> Classification + Send + Sync + 'static) -> Self {
        self.decide = Arc::new(decide);
        self
    }

    /// Dates errors by this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Classifies an error.
    pub fn classify(&self, error: &(dyn Error + 'static)) -> ErrorInfo {
        self.classify_fault(fault_of(error), &[])
    }

    /// Classifies an error; `context` is only recorded.
    pub fn classify_with_context(&self, error: &(dyn Error + 'static), context: &[(&str, &str)]) -> ErrorInfo {
        self.classify_fault(fault_of(error), context)
    }

    /// Classifies facts.
    pub fn classify_fault(&self, fault: Fault, context: &[(&str, &str)]) -> ErrorInfo {
        let classification = (self.decide)(&fault);
        let timestamp = self.remember(&fault, &classification, context);
        let Classification { category, severity, retryable, action, rule, .. } = classification;
        let context = context.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let message = fault.message.clone();
        ErrorInfo { category, severity, retryable, suggested_action: action, rule, message, context, timestamp, fault }
    }

    /// Remembers a failure classified elsewhere.
    pub fn record(&self, fault: &Fault, classification: &Classification) {
        self.remember(fault, classification, &[]);
    }

    /// Remembered errors, oldest first.
    pub fn history(&self) -> Vec<ErrorRecord> {
        self.records().records.iter().cloned().collect()
    }

    /// Numbers of remembered errors by category name.
    pub fn error_patterns(&self) -> BTreeMap<&'static str, u64> {
        let mut patterns = BTreeMap::new();
        for record in &self.records().records {
            *patterns.entry(record.category.name()).or_default() += 1;
        }
        patterns
    }

    /// Forgets all.
    pub fn clear_history(&self) {
        self.records().records = VecDeque::new();
    }

    fn records(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, fault: &Fault, classification: &Classification, context: &[(&str, &str)]) -> SystemTime {
        let timestamp = self.clock.wall();
        let message = cut(&fault.message, MESSAGE_KEPT);
        tracing::debug!(
            category = classification.category.name(),
            severity = classification.severity.name(),
            retryable = classification.retryable,
            rule = classification.rule,
            status = fault.status,
            "classified: {message}"
        );
        let record = ErrorRecord {
            category: classification.category,
            severity: classification.severity,
            kind: fault.kind,
            status: fault.status,
            rule: cut(&classification.rule, WORD_KEPT).into(),
            message: message.into(),
            context: context
                .iter()
                .take(CONTEXT_KEPT)
                .map(|(key, value)| (cut(key, WORD_KEPT).into(), cut(value, WORD_KEPT).into()))
                .collect(),
            timestamp,
        };
        let mut history = self.records();
        history.records.push_back(record);
        history.shrink();
        timestamp
    }
}

impl History {
    fn shrink(&mut self) {
        let surplus = self.records.len().saturating_sub(self.limit);
        self.records.drain(..surplus);
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn epoch_seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    serializer.serialize_f64(seconds)
}

fn as_map<S: Serializer>(pairs: &[(Box<str>, Box<str>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;
    use std::io;
    use std::sync::Weak;
    use std::time::Duration;
    use upright_test_kit::refused;

    #[test]
    fn a_classification_names_category_severity_and_action_of_an_error() {
        let clock = DrivenClock::new();
        let classifier = ErrorClassifier::default().with_clock(clock.shared());
        let info = classifier.classify_with_context(&refused(), &[("operation", "data_fetch")]);
        assert_eq!((info.category, info.severity), (ErrorCategory::Connection, ErrorSeverity::High));
        assert!(info.retryable);
        assert_eq!(info.suggested_action.text(), "Check service, retry with backoff");
        assert_eq!(info.rule, "connection-refused");
        assert_eq!(info.context, BTreeMap::from([("operation".to_owned(), "data_fetch".to_owned())]));
        assert_eq!(info.timestamp, crate::clock::Clock::wall(&clock));
        let json = serde_json::to_value(&info).unwrap();
        assert_eq!(json["category"], "connection");
        assert_eq!(json["suggested_action"], "check_service");
        assert_eq!(json["timestamp"], 315_360_000.0);
        assert_eq!(serde_json::to_value(classifier.history()).unwrap()[0]["context"]["operation"], "data_fetch");
    }

    #[test]
    fn patterns_count_the_history_by_category() {
        let classifier = ErrorClassifier::default();
        classifier.classify(&refused());
        classifier.classify(&refused());
        classifier.classify(&io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(classifier.error_patterns(), BTreeMap::from([("connection", 2), ("timeout", 1)]));
        classifier.clear_history();
        assert!(classifier.error_patterns().is_empty());
    }

    #[test]
    fn errors_that_something_recovered_from_are_counted_too() {
        let classifier = ErrorClassifier::default();
        let fault = fault_of(&refused());
        let classification = upright_logic::classifier::classify(&fault);
        classifier.record(&fault, &classification);
        classifier.record(&fault, &classification);
        assert_eq!(classifier.error_patterns(), BTreeMap::from([("connection", 2)]));
    }

    #[test]
    fn the_history_keeps_the_latest_up_to_its_limit() {
        let classifier = ErrorClassifier::new(3);
        for number in 0..5 {
            classifier.classify(&*crate::error::BoxError::from(format!("failure {number}")));
        }
        let messages =
            |classifier: &ErrorClassifier| classifier.history().iter().map(|record| record.message.to_string()).collect::<Vec<_>>();
        assert_eq!(messages(&classifier), ["failure 2", "failure 3", "failure 4"]);
        let forgetful = ErrorClassifier::new(0);
        forgetful.classify(&refused());
        assert!(forgetful.history().is_empty());
    }

    #[derive(Debug, thiserror::Error)]
    #[error("holds a connection")]
    struct Holding(#[allow(dead_code)] Arc<Vec<u8>>);

    #[test]
    fn the_history_keeps_no_error_alive() {
        let classifier = ErrorClassifier::default();
        let held = Arc::new(vec![0; 1 << 20]);
        let probe: Weak<_> = Arc::downgrade(&held);
        let error = Holding(held);
        let info = classifier.classify(&error);
        drop(error);
        assert!(probe.upgrade().is_none());
        assert_eq!(info.message, "holds a connection");
        assert_eq!(&*classifier.history()[0].message, "holds a connection");
    }

    #[test]
    fn records_are_compact_whatever_is_classified() {
        let classifier = ErrorClassifier::default();
        let long = "ü".repeat(1 << 19);
        let context: Vec<_> = (0..100).map(|_| (long.as_str(), long.as_str())).collect();
        classifier.classify_with_context(&*crate::error::BoxError::from(long.as_str()), &context);
        let record = &classifier.history()[0];
        assert_eq!(record.message.len(), 160);
        assert_eq!(record.context.len(), 8);
        assert!(record.context.iter().all(|(key, value)| key.len() == 64 && value.len() == 64));
    }

    #[test]
    fn a_custom_decider_replaces_the_classifiers_rules() {
        let classifier = ErrorClassifier::default().with_decider(|fault| Classification {
            rule: "own".into(),
            ..upright_logic::classifier::classify(&Fault::new(FaultKind::Cancelled, fault.message.clone()))
        });
        assert_eq!(classifier.classify(&refused()).rule, "own");
    }

    #[test]
    fn the_active_policy_decides_as_the_built_in_logic_does() {
        let classifier = ErrorClassifier::default().with_policy(PolicySlot::native());
        assert_eq!(classifier.classify(&refused()).rule, "connection-refused");
    }

    #[test]
    fn many_threads_classify_at_once() {
        let classifier = ErrorClassifier::new(50);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        classifier.classify_fault(Fault::new(FaultKind::Timeout, "slow"), &[]);
                    }
                });
            }
        });
        let remembered = classifier.history().len();
        assert_eq!(remembered, 50);
        assert_eq!(classifier.error_patterns(), BTreeMap::from([("timeout", remembered as u64)]));
    }

    #[test]
    fn the_time_in_a_record_is_the_clocks() {
        let clock = DrivenClock::new();
        let classifier = ErrorClassifier::default().with_clock(clock.shared());
        let first = classifier.classify(&refused()).timestamp;
        clock.advance(Duration::from_secs(7));
        assert_eq!(classifier.classify(&refused()).timestamp.duration_since(first).unwrap(), Duration::from_secs(7));
    }
}
