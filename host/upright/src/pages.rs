//! Tests the examples of the project's pages like this crate's own.

/// Makes each page the documentation of its own item, so that a failing example names its page.
macro_rules! pages {
    ($($item:ident $path:literal)*) => { $(#[doc = include_str!(concat!("../../../", $path))] struct $item;)* };
}

pages! {
    FrontPage "README.md"
    GettingStarted "docs/getting-started.md"
    Integrity "docs/integrity.md"
    JournalAndReplay "docs/journal-and-replay.md"
    Migration "docs/migration.md"
    Patterns "docs/patterns/README.md"
    Bulkhead "docs/patterns/bulkhead.md"
    ChaosAndTesting "docs/patterns/chaos-and-testing.md"
    Checkpoints "docs/patterns/checkpoints.md"
    CircuitBreaker "docs/patterns/circuit-breaker.md"
    DeadlinesAndTimeouts "docs/patterns/deadlines-and-timeouts.md"
    ErrorClassification "docs/patterns/error-classification.md"
    EventsTracingAndMetrics "docs/patterns/events-tracing-and-metrics.md"
    GracefulDegradation "docs/patterns/graceful-degradation.md"
    HealthCheck "docs/patterns/health-check.md"
    Hedging "docs/patterns/hedging.md"
    HotSwappingPolicies "docs/patterns/hot-swapping-policies.md"
    RecoveryManager "docs/patterns/recovery-manager.md"
    Retry "docs/patterns/retry.md"
    RetryBudget "docs/patterns/retry-budget.md"
    LogicReadme "guest/logic/README.md"
    CoreReadme "host/core/README.md"
    ProtocolReadme "host/protocol/README.md"
    Readme "host/upright/README.md"
    OperationsReadme "host/operations/README.md"
    RuntimeReadme "host/runtime/README.md"
    SimulatorReadme "host/simulator/README.md"
}

#[cfg(feature = "sqlite")]
pages! {
    DurableState "docs/durable-state.md"
    StateReadme "host/state/README.md"
}

#[cfg(feature = "macros")]
pages! {
    MacrosReadme "host/macros/README.md"
    WithCircuitBreaker "host/macros/docs/with_circuit_breaker.md"
    WithRetry "host/macros/docs/with_retry.md"
}
