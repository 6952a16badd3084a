//! Decision types, defined by the policy's contract (`wit/`).

pub use upright_logic::backoff::{JitterRange, RetryConfig};
pub use upright_logic::breaker::{Admission, BreakerConfig, BreakerState, Event as BreakerEvent, Observation, Phase, Transition};
pub use upright_logic::degradation::{WorkflowChange, WorkflowEdit, WorkflowEntry, WorkflowValue};
pub use upright_logic::health::{Finding, FindingLevel, Judgement, ResourceName, ResourceSnapshot, ResourceThresholds};
pub use upright_logic::metadata::Description;
pub use upright_logic::recovery::{
    AtHand as Alternatives, CachedAnswer, Circumstances, ClientProtocol, Directive, ExchangeFacts, ExchangeVerdict, Guard, HostChoice,
    HostFacts, Incident, MemoryOwner, ModelChoice, ModelFacts, PastAttempt, Reason, RequestFacts, Rescue, Verdict, WindowFacts,
};
pub use upright_logic::settings::{Profile, Recommendation};
pub use upright_logic::types::{
    Classification, Endpoint, ErrorCategory, ErrorLabels, ErrorSeverity, Fact, FactValue, Fault, FaultKind, Seconds, SuggestedAction,
};
