"""Loops over attempts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import upright
from plans import Plan, refused
from upright.testing import Instantly

pytestmark = pytest.mark.usefixtures("upright_instantly")


def run(loop: Any, plan: Plan) -> tuple[Any, list[int]]:
    """Calls a plan in a loop: its result, and the numbers of the attempts."""
    numbers: list[int] = []
    result = None
    for attempt in loop:
        with attempt:
            numbers.append(attempt.number)
            assert upright.current_attempt().number == attempt.number
            result = plan()
    return result, numbers


def run_async(loop: Any, plan: Plan) -> tuple[Any, list[int]]:
    """The same with `async for`."""

    async def main() -> tuple[Any, list[int]]:
        numbers: list[int] = []
        result = None
        async for attempt in loop:
            with attempt:
                await asyncio.sleep(0)
                numbers.append(attempt.number)
                assert upright.current_attempt().number == attempt.number
                result = plan()
        return result, numbers

    return asyncio.run(main())


both = pytest.mark.parametrize("runs", [run, run_async])


@both
@pytest.mark.parametrize("failures", range(4))
def test_a_body_is_repeated_until_it_succeeds(runs: Any, failures: int, upright_instantly: Instantly) -> None:
    assert runs(upright.attempts(), Plan(failures)) == ("answer", list(range(1, failures + 2)))
    assert len(upright_instantly) == failures


@both
def test_a_strategy_is_a_loop_each_time(runs: Any) -> None:
    strategy = upright.RetryStrategy(max_retries=2)
    for _ in range(3):
        assert runs(strategy, Plan(2))[1] == [1, 2, 3]


@both
def test_the_last_bodys_own_exception_comes_out(runs: Any) -> None:
    plan = Plan(9)
    with pytest.raises(ConnectionRefusedError) as raised:
        runs(upright.attempts(max_retries=1), plan)
    failure = upright.failure_of(raised.value)
    assert plan.count == 2 and failure is not None and failure.attempts == 2


@both
def test_a_body_with_a_permanent_failure_runs_once(runs: Any) -> None:
    plan = Plan(9, error=lambda: ValueError("no number"))
    with pytest.raises(ValueError):
        runs(upright.attempts(), plan)
    assert plan.count == 1


@both
def test_on_and_pass_through_hold_for_bodies(runs: Any) -> None:
    for options in ({"on": TimeoutError}, {"pass_through": ConnectionError}):
        plan = Plan(9)
        with pytest.raises(ConnectionRefusedError):
            runs(upright.attempts(**options), plan)
        assert plan.count == 1


@both
def test_an_open_breaker_rejects_the_body(runs: Any, name: str) -> None:
    breaker = upright.breaker(name, failure_threshold=2)
    with pytest.raises(ConnectionRefusedError):
        runs(upright.attempts(breaker=name, max_retries=1), Plan(9))
    assert breaker.phase == "open"
    plan = Plan(0)
    with pytest.raises(upright.CircuitOpenError):
        runs(upright.attempts(breaker=name), plan)
    assert plan.count == 0


@both
def test_a_breaker_that_opens_during_a_loop_ends_it(runs: Any, name: str) -> None:
    upright.breaker(name, failure_threshold=2)
    with pytest.raises((ConnectionRefusedError, upright.CircuitOpenError)):
        runs(upright.attempts(breaker=name, max_retries=9), Plan(9))
    assert upright.breaker(name).phase == "open"


@both
def test_a_body_knows_its_time(runs: Any) -> None:
    seen: list[float | None] = []
    for attempt in upright.attempts(attempt_timeout=5.0):
        with attempt:
            seen.append(attempt.time_left)
    assert seen == [5.0]


def test_leaving_the_body_early_is_a_success(name: str) -> None:
    breaker = upright.breaker(name, failure_threshold=1, success_threshold=1)

    def first() -> str:
        for attempt in upright.attempts(breaker=breaker):
            with attempt:
                return "result"
        raise AssertionError

    assert first() == "result"
    for attempt in upright.attempts(breaker=breaker):
        with attempt:
            break
    assert breaker.phase == "closed"


def test_a_body_outside_of_its_attempt_is_refused() -> None:
    with pytest.raises(RuntimeError, match="with attempt"):
        for _ in upright.attempts():
            pass
    loop = upright.attempts(attempt_timeout=1.0)
    with pytest.raises(RuntimeError, match="with attempt"):
        for _ in loop:
            pass


def test_a_loop_serves_one_operation() -> None:
    loop = upright.attempts()
    assert run(loop, Plan(1)) == ("answer", [1, 2])
    assert run(loop, Plan(1)) == (None, [])
    with pytest.raises(RuntimeError, match="no attempt"), loop:
        pass


@both
def test_a_base_exception_ends_the_loop_and_gives_the_probe_back(
    runs: Any, name: str, upright_instantly: Instantly
) -> None:
    breaker = upright.breaker(name, failure_threshold=1, success_threshold=1)
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    upright_instantly.skip(61)
    with pytest.raises(SystemExit):
        runs(upright.attempts(breaker=breaker), Plan(1, error=SystemExit))
    assert breaker.phase == "half_open"
    assert runs(upright.attempts(breaker=breaker), Plan(0))[0] == "answer"
    assert breaker.phase == "closed"
