"""Settings that a scope changes, and tests that do not wait."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import upright
from plans import Plan, refused
from importlib.metadata import entry_points
from upright.testing import Instantly


def calls_of(plan: Plan, **options: Any) -> int:
    """Number of calls that a guard makes of a plan that fails."""
    before = plan.count
    with pytest.raises(ConnectionRefusedError):
        upright.guard(**options)(plan)()
    return plan.count - before


def test_a_scope_changes_all_guards_below(upright_instantly: Instantly) -> None:
    plan = Plan(99)
    with upright.override(max_retries=0):
        assert calls_of(plan) == 1
        with upright.override(max_retries=2, base_delay=7.0, jitter=False):
            assert calls_of(plan) == 3
        assert calls_of(plan) == 1
        assert [attempt.number for attempt in failing_loop(plan)] == []
    assert calls_of(plan) == 4
    assert upright_instantly[:2] == [7.0, 14.0]


def failing_loop(plan: Plan) -> Any:
    """The attempts of a loop that are left to make after the first one failed."""
    count = plan.count
    try:
        for attempt in upright.attempts():
            with attempt:
                plan()
    except ConnectionRefusedError:
        return range(plan.count - count - 1)
    raise AssertionError


def test_a_scope_holds_for_coroutines_and_streams(upright_instantly: Instantly) -> None:
    plan = Plan(99)

    @upright.guard
    def stream() -> Any:
        yield plan()

    async def main() -> None:
        with upright.override(max_retries=1):
            await upright.guard(plan.awaited)()

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(main())
    assert plan.count == 2
    with pytest.raises(ConnectionRefusedError), upright.override(max_retries=1):
        list(stream())
    assert plan.count == 4


def test_tasks_and_threads_have_scopes_of_their_own(upright_instantly: Instantly) -> None:
    counts: dict[int, int] = {}

    async def task(retries: int) -> None:
        plan = Plan(99)
        with upright.override(max_retries=retries):
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                await upright.guard(plan.awaited)()
        counts[retries] = plan.count

    async def main() -> None:
        await asyncio.gather(*(task(retries) for retries in range(4)))

    asyncio.run(main())
    assert counts == {0: 1, 1: 2, 2: 3, 3: 4}
    seen: list[int] = []
    with upright.override(max_retries=0):
        thread = threading.Thread(target=lambda: seen.append(calls_of(Plan(99))))
        thread.start()
        thread.join()
    assert seen == [4]


def test_a_setting_that_cannot_be_used_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="backoff_factor"):
        upright.override(backoff_factor=0.0)


def test_no_guard_waits_and_the_waits_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", None)
    with upright.testing.instantly() as waits:
        upright.guard(jitter=False)(Plan(2))()
        asyncio.run(upright.guard(jitter=False)(Plan(1).awaited)())
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(upright.guard(jitter=False)(Plan(1))()))
        thread.start()
        thread.join()
    assert waits == [1.0, 2.0, 1.0, 1.0] and seen == ["answer"]


def test_the_block_ends_with_the_waits_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with upright.testing.instantly() as outer:
        with upright.testing.instantly() as inner:
            upright.guard(Plan(1))()
        upright.guard(Plan(1))()
    upright.guard(Plan(1))()
    assert (len(outer), len(inner), len(slept)) == (1, 1, 1)


def test_fewer_attempts_can_be_asked_for() -> None:
    plan = Plan(99)
    with upright.testing.instantly().attempts(2) as waits:
        assert calls_of(plan) == 2 and len(waits) == 1
        waits.attempts(1)
        assert calls_of(plan) == 1
    with pytest.raises(ValueError, match="1 or more"):
        waits.attempts(0)


def test_guards_can_be_turned_off(name: str) -> None:
    breaker = upright.breaker(name, failure_threshold=1)
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    plan = Plan(3)
    with upright.testing.instantly().off() as waits:
        for options in ({}, {"fallback": "unused"}, {"breaker": breaker, "fallback": "unused"}):
            assert calls_of(plan, **options) == 1
        assert upright.guard(breaker=breaker)(plan)() == "answer"
        assert asyncio.run(upright.guard(breaker=breaker)(plan.awaited)()) == "answer"
        with breaker:
            pass
        for attempt in upright.attempts(breaker=breaker):
            with attempt:
                plan()
        with pytest.raises(ConnectionRefusedError) as raised:
            for attempt in upright.attempts():
                with attempt:
                    raise refused()
    assert waits == [] and breaker.phase == "open"
    assert upright.failure_of(raised.value) is None


def test_a_breakers_time_can_be_skipped(name: str, upright_instantly: Instantly) -> None:
    breaker = upright.breaker(name, failure_threshold=1, recovery_timeout=60, success_threshold=1)
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    upright_instantly.skip(59)
    with pytest.raises(upright.CircuitOpenError), breaker:
        pass
    upright_instantly.skip(2)
    with breaker:
        pass
    assert breaker.phase == "closed"


def test_pytest_finds_the_fixture(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import upright\n"
        "calls = []\n"
        "@upright.guard(max_retries=5)\n"
        "def ask():\n"
        "    calls.append(1)\n"
        "    raise ConnectionRefusedError(111, 'Connection refused')\n"
        "def test_it(upright_instantly):\n"
        "    upright_instantly.attempts(3)\n"
        "    try:\n"
        "        ask()\n"
        "    except ConnectionRefusedError:\n"
        "        assert len(calls) == 3 and len(upright_instantly) == 2\n"
    )
    # An installed package is found by its entry point.
    is_installed = any(entry.value == "upright.testing.plugin" for entry in entry_points(group="pytest11"))
    plugin = [] if is_installed else ["-p", "upright.testing.plugin"]
    program = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *plugin,
        str(tmp_path),
    ]
    done = subprocess.run(program, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout
