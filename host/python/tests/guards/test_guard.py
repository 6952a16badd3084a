"""Plain and coroutine functions under guard."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import upright
from plans import Plan, refused
from upright.testing import Instantly

KINDS = ["plain", "coroutine"]
STEADY = Path(__file__).resolve().parents[4] / "guest/examples/steady/steady.wasm"


def guarded(kind: str, plan: Plan, **options: Any) -> Callable[..., Any]:
    """The plan under guard, as a function that can be called, whatever its kind."""
    if kind == "plain":

        @upright.guard(**options)
        def plain(*args: Any, **kwargs: Any) -> Any:
            return plan(*args, **kwargs)

        return plain

    @upright.guard(**options)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return plan(*args, **kwargs)

    return lambda *args, **kwargs: asyncio.run(coroutine(*args, **kwargs))


pytestmark = pytest.mark.usefixtures("upright_instantly")


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_connection_is_retried_with_the_same_arguments(kind: str) -> None:
    plan = Plan(2)
    assert guarded(kind, plan)(1, two=2) == "answer"
    assert plan.calls == [((1,), {"two": 2})] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_delays_double_up_to_the_largest(kind: str, upright_instantly: Instantly) -> None:
    plan = Plan(5)
    guarded(kind, plan, max_retries=5, base_delay=0.5, max_delay=3.0, jitter=False)()
    assert upright_instantly == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_exception_comes_out_itself(kind: str) -> None:
    made: list[BaseException] = []

    def error() -> BaseException:
        made.append(refused())
        return made[-1]

    with pytest.raises(ConnectionRefusedError) as raised:
        guarded(kind, Plan(9, error=error), max_retries=2)()
    assert raised.value is made[-1] and len(made) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_an_invalid_input_is_not_retried(kind: str) -> None:
    plan = Plan(9, error=lambda: ValueError("no number"))
    with pytest.raises(ValueError, match="no number"):
        guarded(kind, plan)()
    assert plan.count == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_exception_is_never_retried(kind: str) -> None:
    class Stop(BaseException):
        pass

    plan = Plan(9, error=Stop)
    with pytest.raises(Stop):
        guarded(kind, plan, fallback="none")()
    assert plan.count == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_fallback_gets_the_same_arguments(kind: str) -> None:
    seen = Plan(0, "from the fallback")
    assert guarded(kind, Plan(9), max_retries=1, fallback=seen)(1, two=2) == "from the fallback"
    assert seen.calls == [((1,), {"two": 2})]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fallback_that_cannot_be_called_is_the_result(kind: str) -> None:
    assert guarded(kind, Plan(9), fallback={"cached": True})() == {"cached": True}


def test_a_fallback_of_a_coroutine_function_may_be_one() -> None:
    assert guarded("coroutine", Plan(9), fallback=Plan(0, "awaited").awaited)() == "awaited"


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_fallback_leaves_the_functions_own_exception(kind: str) -> None:
    plan = Plan(9)
    with pytest.raises(ConnectionRefusedError) as raised:
        guarded(kind, plan, fallback=Plan(9, error=lambda: KeyError("fallback")))()
    notes = getattr(raised.value, "__notes__", ["fallback KeyError"])
    assert any("fallback" in note and "KeyError" in note for note in notes)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_is_not_accepted_is_asked_for_again(kind: str) -> None:
    results = iter([0, 0, 7])
    plan = Plan(0)
    plan.value = property(lambda _: next(results))
    seen: list[int] = []

    def accept(result: Any) -> bool:
        seen.append(next(results))
        return seen[-1] == 7

    guarded(kind, plan, accept=accept)()
    assert seen == [0, 0, 7] and plan.count == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_rejected_result_comes_with_its_exception(kind: str) -> None:
    with pytest.raises(upright.RejectedResultError) as raised:
        guarded(kind, Plan(0, "bad"), max_retries=1, accept=lambda result: result != "bad")()
    assert raised.value.result == "bad"


@pytest.mark.parametrize("kind", KINDS)
def test_an_accept_that_fails_is_not_retried(kind: str) -> None:
    plan = Plan(0)
    with pytest.raises(AttributeError):
        guarded(kind, plan, accept=lambda result: result.no_such_name)()
    assert plan.count == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "on", [TimeoutError, (TimeoutError, KeyError), lambda error: "Timeout" in type(error).__name__]
)
def test_on_narrows_what_is_retried(kind: str, on: Any) -> None:
    plan = Plan(9)
    with pytest.raises(ConnectionRefusedError):
        guarded(kind, plan, on=on)()
    assert plan.count == 1
    assert guarded(kind, Plan(1, error=TimeoutError), on=on)() == "answer"


@pytest.mark.parametrize("kind", KINDS)
def test_on_never_widens_what_is_retried(kind: str) -> None:
    plan = Plan(9, error=lambda: ValueError("no number"))
    with pytest.raises(ValueError):
        guarded(kind, plan, on=ValueError)()
    assert plan.count == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_predicate_that_fails_allows_no_retry(kind: str) -> None:
    plan = Plan(9)
    with pytest.raises(ConnectionRefusedError):
        guarded(kind, plan, on=lambda _: 1 // 0)()
    assert plan.count == 1


@pytest.mark.parametrize("kind", KINDS)
def test_control_flow_passes_through_every_guard(kind: str, name: str) -> None:
    class Suspend(TimeoutError):
        pass

    plan = Plan(9, error=Suspend)
    breaker = upright.breaker(name, failure_threshold=1)
    with pytest.raises(Suspend) as raised:
        guarded(kind, plan, pass_through=Suspend, breaker=breaker, fallback="none")()
    assert plan.count == 1 and breaker.phase == "closed"
    assert upright.failure_of(raised.value) is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_reached_the_service_is_not_repeated_if_that_does_harm(kind: str) -> None:
    plan = Plan(9, error=ConnectionResetError)
    with pytest.raises(ConnectionResetError):
        guarded(kind, plan, idempotent=False)()
    assert plan.count == 1
    assert guarded(kind, Plan(1), idempotent=False)() == "answer"


@pytest.mark.parametrize("kind", KINDS)
def test_no_retry_begins_behind_the_deadline(kind: str, upright_instantly: Instantly) -> None:
    plan = Plan(9)
    with pytest.raises(ConnectionRefusedError):
        guarded(kind, plan, max_retries=9, base_delay=4, jitter=False, deadline=10)()
    assert upright_instantly == [4.0] and plan.count == 2


def test_an_attempt_of_a_coroutine_function_ends_with_its_time() -> None:
    calls: list[float | None] = []

    @upright.guard(max_retries=1, attempt_timeout=0.02)
    async def hangs() -> str:
        calls.append(upright.current_attempt().time_left)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "answer"

    assert asyncio.run(hangs()) == "answer"
    assert calls == [0.02, 0.02]


def test_a_time_limit_of_the_operations_own_is_no_limit_of_the_attempt() -> None:
    @upright.guard(max_retries=0, attempt_timeout=60)
    async def times_out() -> None:
        raise asyncio.TimeoutError("its own")

    with pytest.raises(asyncio.TimeoutError, match="its own"):
        asyncio.run(times_out())


@pytest.mark.parametrize("kind", KINDS)
def test_a_breaker_rejects_without_a_call(kind: str, name: str) -> None:
    plan = Plan(9)
    call = guarded(kind, plan, breaker=upright.breaker(name, failure_threshold=1), max_retries=0)
    with pytest.raises(ConnectionRefusedError):
        call()
    with pytest.raises(upright.CircuitOpenError) as raised:
        call()
    assert plan.count == 1 and raised.value.breaker == name and raised.value.time_left


@pytest.mark.parametrize("kind", KINDS)
def test_a_rejection_after_attempts_comes_from_the_last_failure(kind: str, name: str) -> None:
    plan = Plan(9)
    with pytest.raises(ConnectionRefusedError) as raised:
        guarded(kind, plan, breaker=upright.breaker(name, failure_threshold=2), max_retries=9)()
    failure = upright.failure_of(raised.value)
    assert plan.count == 2 and failure is not None and failure.attempts == 2


@pytest.mark.parametrize("kind", KINDS)
def test_functions_share_the_breaker_of_a_name(kind: str, name: str) -> None:
    upright.breaker(name, failure_threshold=1)
    with pytest.raises(ConnectionRefusedError):
        guarded(kind, Plan(9), breaker=name, max_retries=0)()
    with pytest.raises(upright.CircuitOpenError):
        guarded(kind, Plan(0), breaker=name)()


def test_options_can_change_for_one_call_and_the_breaker_stays() -> None:
    plan = Plan(9)
    ask = upright.guard(breaker=upright.CircuitBreaker())(lambda: plan())
    other = ask.with_options(max_retries=0)
    with pytest.raises(ConnectionRefusedError):
        other()
    assert plan.count == 1
    assert other.breaker is ask.breaker is ask.strategy.circuit_breaker
    assert ask.strategy.config.max_retries == 3 and other.strategy.config.max_retries == 0


def test_options_can_change_beside_a_strategy() -> None:
    strategy = upright.RetryStrategy(max_retries=7, base_delay=0.25)
    ask = upright.guard(strategy=strategy)(lambda: None).with_options(max_retries=1)
    assert (ask.strategy.config.max_retries, ask.strategy.config.base_delay) == (1, 0.25)
    assert ask.breaker is strategy.circuit_breaker


@pytest.fixture
def steady() -> upright.PolicySlot:
    """A slot whose policy waits the first delay every time."""
    slot = upright.PolicySlot()
    slot.swap(STEADY)
    return slot


@pytest.mark.parametrize("kind", KINDS)
def test_the_policy_of_a_slot_decides_for_a_guard(
    kind: str, steady: upright.PolicySlot, upright_instantly: Instantly
) -> None:
    guarded(kind, Plan(3), policy=steady, jitter=False)()
    assert upright_instantly == [1.0, 1.0, 1.0]


def test_the_policy_of_a_slot_decides_for_a_loop_of_attempts(
    steady: upright.PolicySlot, upright_instantly: Instantly
) -> None:
    plan = Plan(3)
    for attempt in upright.attempts(policy=steady, jitter=False):
        with attempt:
            plan()
    assert upright_instantly == [1.0, 1.0, 1.0]


def test_a_slot_stays_where_another_option_changes(steady: upright.PolicySlot, upright_instantly: Instantly) -> None:
    plan = Plan(3)
    ask = upright.guard(policy=steady, jitter=False)(lambda: plan())
    ask.with_options(base_delay=2.0)()
    assert upright_instantly == [2.0, 2.0, 2.0]
    by_strategy = upright.guard(strategy=ask.strategy)(lambda: plan())
    plan.calls.clear()
    by_strategy.with_options(max_retries=5)()
    assert upright_instantly[3:] == [1.0, 1.0, 1.0]


def test_a_guard_without_a_slot_takes_that_of_its_breaker(
    steady: upright.PolicySlot, name: str, upright_instantly: Instantly
) -> None:
    breaker = upright.breaker(name, policy=steady)
    guarded("plain", Plan(3), breaker=breaker, jitter=False)()
    assert upright_instantly == [1.0, 1.0, 1.0]
    assert steady.counts["decisions"] > 3


def test_a_strategy_and_a_slot_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="strategy and policy were given"):
        upright.guard(strategy=upright.RetryStrategy(), policy=upright.PolicySlot())


def test_a_strategy_with_a_slot_is_copied_with_it_and_not_pickled(steady: upright.PolicySlot) -> None:
    strategy = upright.guard(policy=steady, jitter=False)(lambda: None).strategy
    assert [copy.copy(strategy).delay(attempt) for attempt in range(3)] == [1.0, 1.0, 1.0]
    with pytest.raises(TypeError, match="PolicySlot"):
        pickle.dumps(strategy)


def test_an_unknown_option_is_refused_by_name() -> None:
    ask: Any = upright.guard(lambda: None)
    with pytest.raises(TypeError, match="retires"):
        ask.with_options(retires=1)


def test_a_strategy_and_its_settings_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="max_retries"):
        upright.guard(strategy=upright.RetryStrategy(), max_retries=1)


def test_a_setting_that_cannot_be_used_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="backoff_factor"):
        upright.guard(backoff_factor=0.5)(lambda: None)


def test_a_property_is_refused() -> None:
    thing: Any = property(lambda self: None)
    with pytest.raises(TypeError, match="property"):
        upright.guard(thing)


@pytest.mark.parametrize("func", [functools.partial(Plan(1), 1), Plan(1)], ids=["partial", "object"])
def test_anything_that_can_be_called_can_be_guarded(func: Any) -> None:
    assert upright.guard(func)() == "answer"


def test_a_partial_coroutine_function_is_awaited_under_guard() -> None:
    plan = Plan(1)
    assert asyncio.run(upright.guard(functools.partial(plan.awaited, 1))()) == "answer"
    assert plan.count == 2


def test_a_plain_function_that_gives_a_coroutine_is_retried() -> None:
    plan = Plan(1)
    assert asyncio.run(upright.guard(lambda: plan.awaited())()) == "answer"
    assert plan.count == 2


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_of_an_argument_is_taken(kind: str) -> None:
    plan = Plan(1)
    names = {"self": 1, "func": 2, "args": 3, "kwargs": 4, "strategy": 5, "fallback": 6, "py": 7}
    assert guarded(kind, plan)(**names) == "answer"
    assert plan.calls == [((), names)] * 2


def test_guards_can_be_stacked() -> None:
    plan = Plan(3)
    inner = upright.guard(max_retries=1)(lambda: plan())
    assert upright.guard(max_retries=1)(inner)() == "answer"
    assert plan.count == 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_the_attempt_is_known_inside(kind: str) -> None:
    seen: list[int] = []

    def error() -> BaseException:
        seen.append(upright.current_attempt().number)
        return refused()

    guarded(kind, Plan(2, error=error))()
    assert seen == [1, 2]
    assert upright.current_attempt().number == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_guard_within_a_retry_has_attempts_of_its_own(kind: str) -> None:
    seen: list[tuple[int, int]] = []
    inner = guarded("plain", Plan(0), accept=lambda _: inside.append(upright.current_attempt().number) or True)
    inside: list[int] = []

    def error() -> BaseException:
        outer = upright.current_attempt().number
        inner()
        seen.append((outer, inside[-1]))
        assert upright.current_attempt().number == outer
        return refused()

    guarded(kind, Plan(2, error=error))()
    assert seen == [(1, 1), (2, 1)]
