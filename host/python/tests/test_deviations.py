"""Each numbered deviation of the specification's classes from the reference (docs/python.md) holds."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import json
import time
import urllib.error
import weakref
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pytest

from upright import error_recovery as er


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are recorded in place of being slept."""
    slept: list[float] = []

    async def sleep(delay: float) -> None:
        slept.append(delay)

    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


class Fails:
    """Fails this many times, then returns 7."""

    def __init__(self, error: Callable[[], Exception], times: int = 1_000_000) -> None:
        self.error, self.times, self.calls = error, times, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error()
        return 7


def refused() -> Exception:
    return ConnectionRefusedError(111, "Connection refused")


def open_breaker(threshold: int = 1) -> er.CircuitBreaker:
    breaker = er.CircuitBreaker(failure_threshold=threshold)
    for _ in range(threshold):
        with pytest.raises(ConnectionRefusedError):
            breaker.call(Fails(refused))
    assert breaker.state is er.CircuitState.OPEN
    return breaker


def test_1_a_clients_own_connection_error_is_retried() -> None:
    func = Fails(lambda: urllib.error.URLError(refused()), times=2)
    assert (er.RetryStrategy().execute(func), func.calls) == (7, 3)


@pytest.mark.parametrize("error", [KeyError("500"), ValueError("port 5000 in use"), TypeError("404")])
def test_2_digits_in_the_text_of_an_error_of_the_callers_own_are_no_status(error: Exception) -> None:
    func = Fails(lambda: error)
    with pytest.raises(type(error)):
        er.RetryStrategy().execute(func)
    assert func.calls == 1


def test_3_execute_async_is_guarded_by_the_breaker() -> None:
    retry = er.RetryStrategy(max_retries=0)
    retry.circuit_breaker = open_breaker()

    async def answers() -> int:
        return 7

    with pytest.raises(RuntimeError, match="Circuit breaker OPEN"):
        asyncio.run(_awaited(retry.execute_async(answers)))


def test_3_a_breaker_counts_the_failure_of_an_async_function_when_it_is_awaited() -> None:
    breaker = er.CircuitBreaker(failure_threshold=2)

    async def fails() -> None:
        raise refused()

    for state in (er.CircuitState.CLOSED, er.CircuitState.OPEN):
        with pytest.raises(ConnectionRefusedError):
            asyncio.run(_awaited(breaker.call(fails)))
        assert breaker.state is state


def test_3_with_retry_retries_an_async_function() -> None:
    func = Fails(refused, times=2)

    @er.with_retry(max_retries=3)
    async def flaky() -> int:
        return func()

    assert asyncio.iscoroutinefunction(flaky)
    assert (asyncio.run(_awaited(flaky())), func.calls) == (7, 3)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def test_4_calls_of_one_decorated_function_share_a_breaker() -> None:
    func = Fails(refused)
    decorated = er.with_retry(max_retries=0)(func)
    for _ in range(20):
        with pytest.raises((ConnectionRefusedError, RuntimeError)):
            decorated()
    assert func.calls == 5


def test_5_a_half_open_breaker_lets_one_probe_through() -> None:
    breaker = open_breaker()
    breaker.state = er.CircuitState.HALF_OPEN
    inner: list[str] = []

    def probe() -> int:
        with pytest.raises(RuntimeError, match="Circuit breaker OPEN"):
            breaker.call(inner.append, "second")
        return 7

    assert (breaker.call(probe), inner) == (7, [])


def test_5_a_success_of_a_call_that_began_before_the_breaker_opened_does_not_close_it() -> None:
    breaker = er.CircuitBreaker(failure_threshold=1)

    def slow() -> int:
        with pytest.raises(ConnectionRefusedError):
            breaker.call(Fails(refused))
        return 7

    assert (breaker.call(slow), breaker.state) == (7, er.CircuitState.OPEN)


def test_6_a_wall_clock_that_steps_back_keeps_no_breaker_open_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    breaker = open_breaker()
    hour_ago = time.time() - 3600.0
    monkeypatch.setattr(time, "time", lambda: hour_ago)
    with pytest.raises(RuntimeError, match=r"Recovery in (60\.0|59\.\d)s"):
        breaker.call(lambda: 7)


@pytest.mark.parametrize("func", [functools.partial(int, "x"), Mock(side_effect=ValueError("x")), Fails(lambda: ValueError("x"))])
def test_7_the_exception_of_anything_that_can_be_called_comes_out(func: Callable[[], Any]) -> None:
    with pytest.raises(ValueError):
        er.RecoveryManager().execute_with_recovery(func)


def test_7_an_exception_whose_text_fails_comes_out_as_it_is() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise KeyError("no text")

    error = Hostile()
    with pytest.raises(Hostile) as caught:
        er.RecoveryManager().execute_with_recovery(Fails(lambda: error))
    assert caught.value is error


def test_8_neither_history_nor_log_keeps_a_frame_of_a_failed_call_alive(caplog: pytest.LogCaptureFixture) -> None:
    class Large:
        pass


    manager, seen = er.RecoveryManager(), []

    def fails() -> None:
        local = Large()
        seen.append(weakref.ref(local))
        raise ValueError("x")

    with pytest.raises(ValueError):
        manager.execute_with_recovery(fails)
    gc.collect()
    # pytest keeps log records.
    assert (seen[0](), len(manager.classifier.error_history), len(caplog.records) > 0) == (None, 1, True)


def test_8_the_history_keeps_the_text_of_an_exception_with_a_file_name() -> None:
    error = FileNotFoundError(2, "No such file or directory", "notes.md")
    kept = er.ErrorClassifier().classify(error).error
    assert kept is not error and (str(kept), type(kept)) == (str(error), FileNotFoundError)


class WithOtherArguments(OSError):
    """An exception whose arguments are not those of its `__init__`."""

    def __init__(self, *, model: str) -> None:
        super().__init__(5, f"{model} failed", "file")
        self.model = model


def raised(call: Callable[[], object]) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("fails", "attributes"),
    [
        (lambda: b"\xff".decode(), ("encoding", "object", "start", "end", "reason")),
        (lambda: importlib.import_module("no_such_module"), ("name", "path")),
        (lambda: compile("1 +", "file", "exec"), ("filename", "lineno", "text")),
        (lambda: json.loads("{"), ("msg", "doc", "pos")),
        (Fails(lambda: WithOtherArguments(model="m")), ("errno", "strerror", "filename", "model")),
    ],
)
def test_8_the_history_has_a_copy_of_an_exception_with_all_its_attributes(
    fails: Callable[[], object], attributes: tuple[str, ...]
) -> None:
    error = raised(fails)
    kept = er.ErrorClassifier().classify(error).error
    assert kept is not error and kept.__traceback__ is None and type(kept) is type(error) and str(kept) == str(error)
    assert [getattr(kept, name) for name in attributes] == [getattr(error, name) for name in attributes]


def test_9_the_managers_history_has_failures_that_a_retry_recovered_each_once() -> None:
    manager = er.RecoveryManager()
    assert manager.execute_with_recovery(Fails(refused, times=2)) == 7
    assert [info.category.value for info in manager.classifier.error_history] == ["connection", "connection"]
    with pytest.raises(ValueError):
        manager.execute_with_recovery(Fails(lambda: ValueError("x")))
    assert len(manager.classifier.error_history) == 3


@pytest.mark.parametrize("value", [None, 0, "cached", {"answer": 42}])
def test_10_a_fallback_that_cannot_be_called_is_the_result(value: Any) -> None:
    func = Fails(lambda: ValueError("x"))
    if value is None:
        # `None` says that there is no fallback.
        with pytest.raises(ValueError):
            er.RetryStrategy().execute(func, fallback=value)
    else:
        assert er.RetryStrategy().execute(func, fallback=value) == value


def test_11_no_delay_exceeds_the_maximum() -> None:
    retry = er.RetryStrategy(base_delay=1.0, max_delay=2.0)
    delays = [retry._calculate_delay(10) for _ in range(200)]
    assert max(delays) <= 2.0 and min(delays) >= 1.6 and len(set(delays)) > 1


def test_11_the_cache_is_bounded_and_drops_its_oldest_answer() -> None:
    degradation = er.GracefulDegradation()
    for number in range(10_001):
        degradation.cache_response(str(number), number)
    assert (len(degradation.cache), degradation.get_cached_response("0")) == (10_000, None)
    assert degradation.get_cached_response("10000") == 10_000


def test_12_the_control_flow_of_langgraph_and_celery_passes_and_counts_for_nothing() -> None:
    for module, name in [("langgraph.errors", "GraphBubbleUp"), ("celery.exceptions", "Retry")]:
        kind = type("Derived", (type(name, (Exception,), {"__module__": module}),), {})
        retry, func = er.RetryStrategy(), Fails(kind)
        for _ in range(10):
            with pytest.raises(kind):
                retry.execute(func, fallback=lambda: 9)
        assert retry.circuit_breaker is not None
        assert (func.calls, retry.circuit_breaker.state) == (10, er.CircuitState.CLOSED)


def test_13_an_error_of_the_callers_own_counts_for_no_breaker() -> None:
    breaker = er.CircuitBreaker(failure_threshold=1)
    with pytest.raises(ValueError):
        breaker.call(Fails(lambda: ValueError("bad input")))
    assert breaker.state is er.CircuitState.CLOSED


def test_14_a_failure_that_opens_the_breaker_ends_the_operation_with_its_own_exception(waits: list[float]) -> None:
    retry, func = er.RetryStrategy(jitter=False), Fails(refused)
    retry.circuit_breaker = er.CircuitBreaker(failure_threshold=2)
    with pytest.raises(ConnectionRefusedError):
        retry.execute(func)
    assert (func.calls, waits) == (2, [1.0])


def test_15_a_lighter_workflow_has_no_sampling_options_and_no_higher_temperature() -> None:
    workflow = {"max_iterations": 10, "tools": ["a", "b", "c", "d"], "temperature": 0.1, "top_k": 50, "name": "x"}
    before = dict(workflow)
    lighter = er.GracefulDegradation().simplify_workflow(workflow)
    assert lighter == {"max_iterations": 3, "tools": ["a", "b", "c"], "temperature": 0.1, "name": "x"}
    assert workflow == before
