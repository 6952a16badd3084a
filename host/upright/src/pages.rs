//! Tests the examples of the pages under `docs/` like this crate's own.

/// Makes each page the documentation of its own item, so that a failing example names its page.
macro_rules! pages {
    ($($item:ident $path:literal)*) => { $(#[doc = include_str!(concat!("../../../docs/", $path))] struct $item;)* };
}

pages! {
    GettingStarted "getting-started.md"
    Integrity "integrity.md"
    JournalAndReplay "journal-and-replay.md"
    Migration "migration.md"
    Patterns "patterns/README.md"
    Bulkhead "patterns/bulkhead.md"
    ChaosAndTesting "patterns/chaos-and-testing.md"
    Checkpoints "patterns/checkpoints.md"
    CircuitBreaker "patterns/circuit-breaker.md"
    DeadlinesAndTimeouts "patterns/deadlines-and-timeouts.md"
    ErrorClassification "patterns/error-classification.md"
    EventsTracingAndMetrics "patterns/events-tracing-and-metrics.md"
    GracefulDegradation "patterns/graceful-degradation.md"
    HealthCheck "patterns/health-check.md"
    Hedging "patterns/hedging.md"
    HotSwappingPolicies "patterns/hot-swapping-policies.md"
    RecoveryManager "patterns/recovery-manager.md"
    Retry "patterns/retry.md"
    RetryBudget "patterns/retry-budget.md"
}

#[cfg(feature = "sqlite")]
pages! {
    DurableState "durable-state.md"
}
