"""10,000 random runs beside a model of the reference: each difference is one of the numbered deviations."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import reference
import requests

from upright import error_recovery as er

RUNS = 10_000

# An exception, and the number of the deviation that may make its run differ.
FAILURES: list[tuple[Callable[[], Exception], int | None]] = [
    (lambda: ConnectionRefusedError(111, "Connection refused"), None),
    (lambda: ConnectionResetError(104, "Connection reset by peer"), None),
    (lambda: ConnectionError("gone"), None),
    (lambda: requests.ConnectionError("no route"), None),
    (lambda: TimeoutError("slow"), None),
    (lambda: requests.ReadTimeout("slow"), None),
    (lambda: RuntimeError("HTTP 503 Service Unavailable"), None),
    (lambda: RuntimeError("429 Too Many Requests: rate limit"), None),
    (lambda: RuntimeError("strange"), None),
    (lambda: KeyError("500"), 2),
    (lambda: ValueError("port 5000 in use"), 2),
    (lambda: ValueError("bad input"), 13),
    (lambda: TypeError("bad type"), 13),
    (lambda: PermissionError(13, "Permission denied"), 13),
    (lambda: RuntimeError("model not found"), 13),
    (lambda: MemoryError("out of memory"), 13),
    (lambda: OSError(28, "No space left on disk"), 13),
]


class Outcomes:
    """A function whose calls end as planned, and which counts them."""

    def __init__(self, plan: list[Exception | int]) -> None:
        self.plan, self.calls = plan, 0

    def __call__(self) -> int:
        planned = self.plan[min(self.calls, len(self.plan) - 1)]
        self.calls += 1
        if isinstance(planned, Exception):
            raise planned
        return planned


def outcome(call: Callable[[], Any]) -> Any:
    """The result; of an exception the object itself, of a rejection its first words."""
    try:
        return call()
    except RuntimeError as error:
        return str(error)[:20] if str(error).startswith("Circuit breaker OPEN") else error
    except Exception as error:
        return error


def one_run(seed: int, monkeypatch: pytest.MonkeyPatch) -> set[int] | None:
    """Deviations whose exceptions took part, if the run differed; `None` if it did not."""
    chance = random.Random(seed)
    settings: dict[str, Any] = {
        "max_retries": chance.randrange(5),
        "base_delay": chance.choice([0.1, 1.0, 2.5]),
        "max_delay": chance.choice([1.0, 5.0, 60.0]),
        "backoff_factor": chance.choice([1.0, 1.5, 2.0, 3.0]),
        "jitter": False,
    }
    guarded = chance.random() < 0.6
    ours = er.RetryStrategy(**settings, use_circuit_breaker=False)
    theirs = reference.Retry(**settings)
    if guarded:
        limits = {"failure_threshold": chance.randrange(1, 7), "success_threshold": chance.randrange(1, 4)}
        ours.circuit_breaker = er.CircuitBreaker(recovery_timeout=1e6, **limits)
        theirs.breaker = reference.Breaker(recovery_timeout=1e6, **limits)
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    took_part: set[int] = set()
    for _ in range(chance.randrange(1, 6)):
        plan: list[Exception | int] = []
        for _ in range(chance.randrange(6)):
            make, deviation = chance.choice(FAILURES)
            plan.append(make())
            took_part |= {deviation} if deviation else set()
        plan.append(chance.choice([1, 2]) if chance.random() < 0.7 else chance.choice(FAILURES[:9])[0]())
        back: list[Exception | int] | None = chance.choice([None, [9], [LookupError("fallback")]])
        if ours.circuit_breaker and theirs.breaker and chance.random() < 0.1:
            ours.circuit_breaker.state, theirs.breaker.state = er.CircuitState.HALF_OPEN, "half_open"
            ours.circuit_breaker.success_count = theirs.breaker.success_count = 0
        if theirs.breaker:
            theirs.breaker.opened_by = None
        seen = []
        for strategy in (ours, theirs):
            func, fallback = Outcomes(plan), Outcomes(back) if back else None
            ended = outcome(lambda: strategy.execute(func, fallback=fallback))  # noqa: B023
            seen.append((ended, func.calls, fallback.calls if fallback else 0))
        phases = [ours.circuit_breaker.state.value if ours.circuit_breaker else None]
        phases.append(theirs.breaker.state if theirs.breaker else None)
        opened_by = theirs.breaker.opened_by if theirs.breaker else None
        took_part |= {14} if opened_by and reference.rule_of(opened_by)[2] else set()
        if seen[0] != seen[1] or phases[0] != phases[1] or waits != pytest.approx(theirs.waits):
            assert took_part, f"seed {seed}: {settings} {plan} {back}: {seen} {phases} {waits} {theirs.waits}"
            return took_part
    return None


def test_10000_random_runs_differ_from_the_reference_only_by_the_numbered_deviations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(er.logger, "disabled", True)
    alone: Counter[int] = Counter()
    differed = 0
    for seed in range(RUNS):
        deviations = one_run(seed, monkeypatch)
        differed += deviations is not None
        if deviations and len(deviations) == 1:
            alone.update(deviations)
    with capsys.disabled():
        print(f"\n{RUNS} runs: {RUNS - differed} equal; {differed} differ, by one deviation alone: {dict(alone)}")
    assert alone.keys() == {2, 13, 14}
    assert differed < RUNS
