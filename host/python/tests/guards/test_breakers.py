"""Circuit breakers: names, blocks, and calls from everywhere at once."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import upright
from plans import Plan, refused
from upright.testing import Instantly


def opened(name: str, instantly: Instantly, *, half_open: bool = True, **settings: Any) -> upright.CircuitBreaker:
    """A breaker that one failure has opened, and whose time has passed."""
    breaker = upright.breaker(name, **{"failure_threshold": 1, "success_threshold": 1, **settings})
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    assert breaker.phase == "open"
    if half_open:
        instantly.skip(61)
    return breaker


def in_thread(work: Callable[[], Any]) -> BaseException | None:
    """Does something in another thread: the exception that ended it."""
    ended: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return ended[0] if ended else None


def in_threads(number: int, work: Callable[[], Any]) -> list[Any]:
    """Does something in a number of threads at once: the results."""
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_name_is_one_breaker_of_the_process(name: str) -> None:
    made = in_threads(8, lambda: upright.breaker(name))
    assert len({id(breaker) for breaker in made}) == 1 and made[0].name == name


def test_the_first_call_sets_the_settings_and_others_must_agree(name: str) -> None:
    breaker = upright.breaker(name, failure_threshold=2, recovery_timeout=5.0)
    assert upright.breaker(name, failure_threshold=2) is breaker
    with pytest.raises(ValueError, match="recovery_timeout=5.0"):
        upright.breaker(name, recovery_timeout=6.0)
    with pytest.raises(ValueError, match="failure_threshold"):
        upright.breaker(name + " other", failure_threshold=0)


def test_a_named_breaker_pickles_by_its_name(name: str) -> None:
    breaker = upright.breaker(name)
    assert pickle.loads(pickle.dumps(breaker)) is breaker and copy.deepcopy(breaker) is breaker


OPENED = """
import sys, upright
breaker = upright.breaker("index", failure_threshold=1, state=sys.argv[1])
try:
    with breaker:
        raise ConnectionRefusedError(111, "Connection refused")
except (ConnectionRefusedError, upright.CircuitOpenError) as error:
    print(type(error).__name__)
"""


def test_a_breaker_with_a_state_is_open_in_the_next_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENED, str(tmp_path / "state.db")]
    said = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said == ["ConnectionRefusedError\n", "CircuitOpenError\n"]


def test_a_name_has_one_state_and_one_slot(name: str, tmp_path: Path) -> None:
    path, slot = tmp_path / "state.db", upright.PolicySlot()
    breaker = upright.breaker(name, state=path, policy=slot)
    assert upright.breaker(name) is upright.breaker(name, state=upright.State(str(path)), policy=slot) is breaker
    with pytest.raises(ValueError, match=r"has state='.*state.db'; expected the same, and not ':memory:'"):
        upright.breaker(name, state=":memory:")
    with pytest.raises(ValueError, match="expected the same slot"):
        upright.breaker(name, policy=upright.PolicySlot())
    upright.breaker(name + " other")
    with pytest.raises(ValueError, match="has state=None"):
        upright.breaker(name + " other", state=path)


def test_a_pickled_breaker_finds_its_state_in_another_process(tmp_path: Path) -> None:
    state = upright.State(str(tmp_path / "state.db"))
    breaker = upright.breaker("pickled", failure_threshold=1, state=state)
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    state.close()
    # From now on this process is alone, and the other one finds what is stored.
    breaker.reset()
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer).state.value)"
    done = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(breaker), capture_output=True, check=True)
    assert done.stdout == b"open\n"


def test_a_block_is_rejected_on_entry(name: str, upright_instantly: Instantly) -> None:
    breaker = opened(name, upright_instantly, half_open=False)
    entered = False
    with pytest.raises(upright.CircuitOpenError) as raised, breaker:
        entered = True
    assert not entered and raised.value.breaker == name


def test_an_asynchronous_block_is_rejected_on_entry(name: str, upright_instantly: Instantly) -> None:
    breaker = opened(name, upright_instantly, half_open=False)

    async def main() -> None:
        async with breaker:
            raise AssertionError

    with pytest.raises(upright.CircuitOpenError):
        asyncio.run(main())


def test_a_successful_probe_closes_it(name: str, upright_instantly: Instantly) -> None:
    breaker = opened(name, upright_instantly)
    with breaker:
        assert breaker.phase == "half_open"
    assert breaker.phase == "closed"


def test_blocks_of_one_breaker_may_lie_in_each_other(name: str) -> None:
    breaker = upright.breaker(name, failure_threshold=1)
    with breaker, breaker, upright.breaker(name + " other"), breaker:
        pass
    with pytest.raises(ConnectionRefusedError), breaker:
        with pytest.raises(KeyError), upright.breaker(name + " other"):
            raise KeyError
        raise refused()
    assert breaker.phase == "open" and upright.breaker(name + " other").phase == "closed"


def test_generators_may_leave_their_blocks_in_any_order(name: str) -> None:
    one, other = upright.breaker(name + " 1", failure_threshold=1), upright.breaker(name + " 2", failure_threshold=1)

    def block(breaker: upright.CircuitBreaker) -> Any:
        with breaker:
            yield
            raise refused()

    first, second = block(one), block(other)
    next(first)
    next(second)
    with pytest.raises(ConnectionRefusedError):
        next(first)
    assert (one.phase, other.phase) == ("open", "closed")
    second.close()
    assert other.phase == "closed"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("form", ["with", "call", "guard"])
def test_an_interrupted_probe_leaves_its_place_to_the_next(
    form: str, error: type[BaseException], name: str, upright_instantly: Instantly
) -> None:
    breaker = opened(name, upright_instantly)
    plan = Plan(1, error=error)

    def probe() -> None:
        if form == "with":
            with breaker:
                plan()
        elif form == "call":
            breaker.call(plan)
        else:
            upright.guard(breaker=breaker)(plan)()

    assert isinstance(in_thread(probe), error)
    assert breaker.phase == "half_open"
    assert in_thread(probe) is None
    assert breaker.phase == "closed" and plan.count == 2


@pytest.mark.parametrize("form", ["with", "call", "guard"])
def test_a_cancelled_probe_leaves_its_place_to_the_next(form: str, name: str, upright_instantly: Instantly) -> None:
    breaker = opened(name, upright_instantly)

    async def main() -> None:
        started = asyncio.Event()

        async def hangs() -> None:
            started.set()
            await asyncio.Event().wait()

        async def in_block() -> None:
            async with breaker:
                await hangs()

        probes = {"with": in_block, "call": lambda: breaker.call(hangs), "guard": upright.guard(breaker=breaker)(hangs)}
        task = asyncio.ensure_future(probes[form]())
        await started.wait()
        with pytest.raises(upright.CircuitOpenError):
            breaker.admit()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert breaker.phase == "half_open"
        async with breaker:
            pass

    asyncio.run(main())
    assert breaker.phase == "closed"


def test_twenty_threads_make_one_probe(name: str, upright_instantly: Instantly) -> None:
    breaker = opened(name, upright_instantly)
    asked, answered = threading.Barrier(20), threading.Event()
    probes: list[int] = []
    rejected = threading.Semaphore(0)

    def operation() -> None:
        probes.append(1)
        answered.wait(60)

    def call() -> None:
        asked.wait(60)
        try:
            breaker.call(operation)
        except upright.CircuitOpenError:
            rejected.release()

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(19):
        assert rejected.acquire(timeout=60)
    answered.set()
    for thread in threads:
        thread.join()
    assert probes == [1] and breaker.phase == "closed"


def test_five_threads_are_inside_of_one_breaker_at_once(name: str) -> None:
    breaker = upright.breaker(name)
    together = threading.Barrier(5)
    guarded = upright.guard(breaker=breaker)(lambda: together.wait(60))
    calls: list[Callable[[], Any]] = [guarded, lambda: breaker.call(together.wait, 60)]
    for call in calls:
        assert sorted(in_threads(5, call)) == [0, 1, 2, 3, 4]


def test_a_success_from_before_the_breaker_opened_does_not_close_it(name: str, upright_instantly: Instantly) -> None:
    breaker = upright.breaker(name, failure_threshold=1, success_threshold=1)
    began, goes_on = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        goes_on.wait(60)

    threads = [threading.Thread(target=upright.guard(breaker=breaker)(slow))]
    threads[0].start()
    began.wait(60)
    opened(name, upright_instantly)
    with pytest.raises(ConnectionRefusedError), breaker:
        # The probe is under way while the older call succeeds.
        goes_on.set()
        threads[0].join()
        assert breaker.phase == "half_open"
        raise refused()
    assert breaker.phase == "open"


@pytest.mark.parametrize("form", ["guard", "call", "with"])
def test_a_success_from_before_a_reset_does_not_count(form: str, name: str) -> None:
    breaker = upright.breaker(name, failure_threshold=2, failure_rate_threshold=2.0)
    began, goes_on = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        goes_on.wait(60)

    def in_block() -> None:
        with breaker:
            slow()

    forms: dict[str, Callable[[], Any]] = {
        "guard": upright.guard(breaker=breaker)(slow),
        "call": lambda: breaker.call(slow),
        "with": in_block,
    }
    thread = threading.Thread(target=forms[form])
    thread.start()
    began.wait(60)
    breaker.reset()
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    goes_on.set()
    thread.join()
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    assert breaker.phase == "open"


def test_tasks_over_one_strategy_all_succeed(upright_instantly: Instantly) -> None:
    strategy = upright.RetryStrategy(max_retries=2, use_circuit_breaker=False)

    async def by_execute() -> Any:
        return await strategy.execute_async(Plan(2).awaited)

    async def by_loop() -> Any:
        plan = Plan(2)
        async for attempt in strategy:
            with attempt:
                await asyncio.sleep(0)
                assert upright.current_attempt().number == plan.count + 1
                return plan()
        return None

    async def main() -> list[Any]:
        return await asyncio.gather(*(by() for by in (by_execute, by_loop) for _ in range(8)))

    assert asyncio.run(main()) == ["answer"] * 16


def test_threads_over_one_strategy_all_succeed(upright_instantly: Instantly) -> None:
    guarded = upright.guard(max_retries=2)(lambda plan: plan())
    assert in_threads(8, lambda: guarded(Plan(2))) == ["answer"] * 8
