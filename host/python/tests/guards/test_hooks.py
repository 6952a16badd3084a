"""Hooks hear of events."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

import upright
from plans import Plan, refused
from upright import hooks
from upright.hooks import AttemptFailed, BreakerMoved, Event, FallbackUsed, GaveUp, Recovered, RetryScheduled
from upright.testing import Instantly

pytestmark = pytest.mark.usefixtures("upright_instantly")


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


def forms(plan: Plan, **options: Any) -> dict[str, Any]:
    """Ways to run a plan under guard."""

    def loop() -> None:
        for attempt in upright.attempts(**options):
            with attempt:
                plan()

    async def loop_async() -> None:
        async for attempt in upright.attempts(**options):
            with attempt:
                plan()

    @upright.guard(**options)
    def stream() -> Any:
        yield plan()

    return {
        "guard": upright.guard(**options)(plan),
        "coroutine": lambda: asyncio.run(upright.guard(**options)(plan.awaited)()),
        "loop": loop,
        "asynchronous loop": lambda: asyncio.run(loop_async()),
        "stream": lambda: list(stream()),
    }


each = pytest.mark.parametrize("form", list(forms(Plan(0))))


@each
def test_a_success_at_the_first_attempt_is_no_event(form: str, events: list[Event]) -> None:
    forms(Plan(0), breaker=upright.CircuitBreaker())[form]()
    assert events == []


@each
def test_hooks_hear_of_each_step_of_a_recovery(form: str, events: list[Event]) -> None:
    forms(Plan(2), base_delay=4.0, jitter=False)[form]()
    assert kinds(events) == [AttemptFailed, RetryScheduled] * 2 + [Recovered]
    failed, scheduled, recovered = events[0], events[3], events[4]
    assert isinstance(failed, AttemptFailed) and failed.attempt == 1
    assert isinstance(failed.error, ConnectionRefusedError) and failed.classification.category == "connection"
    assert isinstance(scheduled, RetryScheduled) and (scheduled.attempt, scheduled.delay) == (3, 8.0)
    assert isinstance(recovered, Recovered) and recovered.attempts == 3 and recovered.elapsed >= 12.0


@each
def test_hooks_hear_once_that_a_guard_gave_up(form: str, events: list[Event]) -> None:
    with pytest.raises(ConnectionRefusedError) as raised:
        forms(Plan(9), max_retries=1)[form]()
    assert kinds(events) == [AttemptFailed, RetryScheduled, AttemptFailed, GaveUp]
    last = events[-1]
    assert isinstance(last, GaveUp) and last.error is raised.value
    assert (last.attempts, last.reason) == (2, "attempts_exhausted")


def test_hooks_hear_of_a_fallback(events: list[Event]) -> None:
    assert upright.guard(max_retries=0, fallback=1)(Plan(9))() == 1
    assert kinds(events) == [AttemptFailed, FallbackUsed]


def test_a_failed_fallback_counts_as_giving_up(events: list[Event]) -> None:
    with pytest.raises(ConnectionRefusedError):
        upright.guard(max_retries=0, fallback=Plan(9, error=KeyError))(Plan(9))()
    assert kinds(events) == [AttemptFailed, FallbackUsed, GaveUp]


@pytest.mark.parametrize("form", ["with", "call", "call_async", "guard", "coroutine"])
def test_hooks_hear_once_of_each_move_of_a_breaker(
    form: str, name: str, events: list[Event], upright_instantly: Instantly
) -> None:
    breaker = upright.breaker(name, failure_threshold=2, success_threshold=1)
    plan = Plan(2)

    def block() -> None:
        with breaker:
            plan()

    run = {
        "with": block,
        "call": lambda: breaker.call(plan),
        "call_async": lambda: asyncio.run(breaker.call(plan.awaited)),
        "guard": upright.guard(breaker=breaker, max_retries=0)(plan),
        "coroutine": lambda: asyncio.run(upright.guard(breaker=breaker, max_retries=0)(plan.awaited)()),
    }[form]
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            run()
    upright_instantly.skip(61)
    run()
    moves = [(event.before, event.after) for event in events if isinstance(event, BreakerMoved)]
    # A call by the breaker's own method moves it and comes back before anyone asks.
    whole = [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    assert moves == whole if "call" not in form else moves in (whole, [("closed", "open"), ("open", "closed")])
    assert {event.breaker for event in events if isinstance(event, BreakerMoved)} == {name}


def test_a_reset_is_a_move(name: str, events: list[Event]) -> None:
    breaker = upright.breaker(name, failure_threshold=1)
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    breaker.reset()
    assert [event.after for event in events if isinstance(event, BreakerMoved)] == ["open", "closed"]


def test_a_rejection_counts_as_giving_up(name: str, events: list[Event]) -> None:
    breaker = upright.breaker(name, failure_threshold=1)
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    events.clear()
    with pytest.raises(upright.CircuitOpenError) as raised:
        upright.guard(breaker=breaker)(Plan(0))()
    assert kinds(events) == [GaveUp] and isinstance(events[0], GaveUp) and events[0].error is raised.value
    assert (events[0].attempts, events[0].reason) == (0, "circuit_open")


def test_hooks_run_in_the_callers_thread_and_context() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    seen: set[tuple[str, str]] = set()

    def hook(event: Event) -> None:
        seen.add((threading.current_thread().name, request.get()))

    async def task(name: str) -> None:
        request.set(name)
        await upright.guard(Plan(1).awaited)()

    async def main() -> None:
        await asyncio.gather(task("a"), task("b"))

    upright.add_hook(hook)
    try:
        thread = threading.Thread(target=lambda: asyncio.run(main()), name="caller")
        thread.start()
        thread.join()
    finally:
        upright.remove_hook(hook)
    assert seen == {("caller", "a"), ("caller", "b")}


def test_a_hook_that_fails_changes_nothing(events: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: Event) -> None:
        raise KeyError("hook")

    upright.add_hook(hook)
    try:
        assert upright.guard(Plan(1))() == "answer"
    finally:
        upright.remove_hook(hook)
    assert kinds(events) == [AttemptFailed, RetryScheduled, Recovered]
    assert any("failed" in record.message and "hook" in record.message for record in caplog.records)


def test_a_hook_that_was_not_added_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match="no hook"):
        upright.remove_hook(print)


def test_an_event_names_the_function(events: list[Event]) -> None:
    @upright.guard(max_retries=0)
    def ask_for_it() -> None:
        raise refused()

    with pytest.raises(ConnectionRefusedError):
        ask_for_it()
    assert {getattr(event, "operation") for event in events} == {ask_for_it.__qualname__}  # type: ignore[attr-defined]  # noqa: B009


def run_all(hook: hooks.Hook, name: str) -> None:
    """Recovers, gives up, falls back and opens a breaker, with this hook."""
    breaker = upright.breaker(name, failure_threshold=1)
    upright.add_hook(hook)
    try:
        upright.guard(Plan(1))()
        upright.guard(max_retries=0, fallback=1)(Plan(9))()
        with pytest.raises(ConnectionRefusedError):
            upright.guard(max_retries=0, breaker=breaker)(Plan(9))()
    finally:
        upright.remove_hook(hook)


def test_structlog_gets_events_as_key_values(name: str) -> None:
    structlog = pytest.importorskip("structlog")
    with structlog.testing.capture_logs() as logs:
        run_all(hooks.structlog(), name)
    texts = [log["event"] for log in logs]
    assert texts.count("attempt failed") == 3 and {"recovered", "gave up", "fallback used"} <= set(texts)
    failed = logs[0]
    assert failed["error"] == "ConnectionRefusedError" and failed["category"] == "connection"
    assert {log["log_level"] for log in logs} == {"info", "warning"}


def test_prometheus_counts_events(name: str) -> None:
    prometheus = pytest.importorskip("prometheus_client")
    registry = prometheus.CollectorRegistry()
    run_all(hooks.prometheus(registry), name)

    def value(counter: str, **labels: str) -> Any:
        return registry.get_sample_value(f"upright_{counter}_total", labels)

    assert value("failed_attempts", operation="Plan", category="connection") == 3
    assert value("retries", operation="Plan") == 1
    assert value("operations", operation="Plan", outcome="recovered") == 1
    assert value("operations", operation="Plan", outcome="gave_up") == 1
    assert value("operations", operation="Plan", outcome="fallback") == 1
    assert value("circuit_breaker_transitions", breaker=name, **{"from": "closed", "to": "open"}) == 1


def test_opentelemetry_gets_a_span_of_each_operation_that_failed(name: str) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("request"):
        upright.guard(Plan(0))()
        run_all(hooks.opentelemetry(tracer), name)
    *spans, request = exporter.get_finished_spans()
    assert [span.attributes["upright.outcome"] for span in spans] == ["recovered", "fallback used", "gave up"]
    assert all(span.parent.span_id == request.context.span_id for span in spans)
    assert spans[0].end_time - spans[0].start_time >= 0.5e9
    assert spans[2].attributes["upright.rule"] == "connection-refused" and not spans[2].status.is_ok
    assert [event.name for event in request.events] == ["circuit breaker moved"]
