"""Events of guards, and hooks that hand them to other libraries: `upright.add_hook(upright.hooks.structlog())`.

A library is imported when its function is called.
"""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any

from upright._events import (
    AttemptFailed,
    BreakerMoved,
    Event,
    FallbackUsed,
    GaveUp,
    Hook,
    Recovered,
    RetryScheduled,
)
from upright._hearing import add_hook, remove_hook

__all__ = [
    "AttemptFailed",
    "BreakerMoved",
    "Event",
    "FallbackUsed",
    "GaveUp",
    "Hook",
    "Recovered",
    "RetryScheduled",
    "add_hook",
    "opentelemetry",
    "prometheus",
    "remove_hook",
    "structlog",
]

_TEXTS = {
    AttemptFailed: "attempt failed",
    RetryScheduled: "retry scheduled",
    Recovered: "recovered",
    GaveUp: "gave up",
    FallbackUsed: "fallback used",
    BreakerMoved: "circuit breaker moved",
}
_QUIET = (RetryScheduled, Recovered)


def _plain(event: Event) -> dict[str, Any]:
    """An event's fields as plain values: of exceptions their type, of classifications their category and rule."""
    values: dict[str, Any] = {field.name: getattr(event, field.name) for field in fields(event)}
    if (error := values.pop("error", None)) is not None:
        values["error"] = type(error).__name__
    if (meaning := values.pop("classification", None)) is not None:
        values |= {"category": meaning.category, "rule": meaning.rule}
    return values


def structlog(logger: Any = None) -> Hook:
    """A hook that logs events by structlog, with the context variables of the guarded call. Needs `structlog`."""
    from structlog import get_logger

    log = logger if logger is not None else get_logger("upright")

    def hook(event: Event) -> None:
        write = log.info if isinstance(event, _QUIET) else log.warning
        write(_TEXTS[type(event)], **_plain(event))

    return hook


def prometheus(registry: Any = None) -> Hook:
    """A hook that counts events for Prometheus. Needs `prometheus_client`.

    Counters: `upright_failed_attempts_total{operation, category}`, `upright_retries_total{operation}`,
    `upright_operations_total{operation, outcome}` with the outcomes `recovered`, `gave_up` and `fallback`, and
    `upright_circuit_breaker_transitions_total{breaker, from, to}`.
    """
    from prometheus_client import REGISTRY, Counter

    where = REGISTRY if registry is None else registry

    def counter(name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=where)

    failed = counter("upright_failed_attempts", "Attempts that failed", "operation", "category")
    retries = counter("upright_retries", "Retries", "operation")
    ended = counter("upright_operations", "Operations that failed at least once, by outcome", "operation", "outcome")
    moved = counter("upright_circuit_breaker_transitions", "Transitions of circuit breakers", "breaker", "from", "to")

    def hook(event: Event) -> None:
        if isinstance(event, AttemptFailed):
            failed.labels(event.operation, event.classification.category).inc()
        elif isinstance(event, RetryScheduled):
            retries.labels(event.operation).inc()
        elif isinstance(event, BreakerMoved):
            moved.labels(event.breaker, event.before, event.after).inc()
        else:
            outcome = {Recovered: "recovered", GaveUp: "gave_up", FallbackUsed: "fallback"}[type(event)]
            ended.labels(event.operation, outcome).inc()

    return hook


def opentelemetry(tracer: Any = None) -> Hook:
    """A hook that makes a span of each operation that failed at least once. Needs `opentelemetry-api`.

    The span lies in that of the caller, from the first attempt to the end. Its attributes are `upright.attempts`,
    `upright.outcome`, `upright.reason`, `upright.category`, `upright.rule`. A breaker's move is an event of the
    caller's span.
    """
    from opentelemetry import trace

    maker = tracer if tracer is not None else trace.get_tracer("upright")

    def hook(event: Event) -> None:
        if isinstance(event, BreakerMoved):
            names = {"upright.breaker": event.breaker, "upright.from": event.before, "upright.to": event.after}
            trace.get_current_span().add_event(_TEXTS[BreakerMoved], names)
        elif isinstance(event, (Recovered, GaveUp, FallbackUsed)):
            end = time.time_ns()
            span = maker.start_span(f"upright {event.operation}", start_time=end - int(event.elapsed * 1e9))
            span.set_attribute("upright.outcome", _TEXTS[type(event)])
            for name in ("attempts", "reason", "category", "rule"):
                if (value := _plain(event).get(name)) is not None:
                    span.set_attribute(f"upright.{name}", value)
            if isinstance(event, GaveUp):
                span.record_exception(event.error)
                span.set_status(trace.StatusCode.ERROR)
            span.end(end)

    return hook
