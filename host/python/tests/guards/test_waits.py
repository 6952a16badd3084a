"""Waits, and what ends them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

import upright
from plans import Plan, refused
from upright.hooks import Event, RetryScheduled

LONG = 3_600.0  # seconds; a test that waited so long would be stopped
INTERRUPTED = """
import signal
import sys
import upright
from upright.hooks import RetryScheduled

# A shell's job in the background ignores it, and so would all below it.
signal.signal(signal.SIGINT, signal.default_int_handler)
breaker = upright.breaker("interrupted")

def operation():
    raise ConnectionRefusedError(111, "Connection refused")

def announce(event):
    if isinstance(event, RetryScheduled):
        print("waits", flush=True)

def by_guard():
    upright.guard(base_delay=3600, max_delay=3600, breaker=breaker)(operation)()

def by_loop():
    for attempt in upright.attempts(base_delay=3600, max_delay=3600, breaker=breaker):
        with attempt:
            operation()

upright.add_hook(announce)
try:
    {form}()
except KeyboardInterrupt:
    breaker.admit().succeeded()
    print("out", breaker.phase, breaker.failures, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize("form", ["by_guard", "by_loop"])
def test_an_interrupt_ends_a_wait_and_leaves_the_breaker(form: str) -> None:
    program = [sys.executable, "-c", INTERRUPTED.replace("{form}", form)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert output.startswith("out closed") and process.returncode == 0


@pytest.mark.parametrize("form", ["guard", "loop", "stream"])
def test_cancelling_a_task_ends_its_wait(form: str, events: list[Event], name: str) -> None:
    options: Any = {"base_delay": LONG, "max_delay": LONG, "breaker": upright.breaker(name)}

    @upright.guard(**options)
    async def by_guard() -> None:
        raise refused()

    async def by_loop() -> None:
        async for attempt in upright.attempts(**options):
            with attempt:
                raise refused()

    @upright.guard(**options)
    async def stream() -> Any:
        raise refused()
        yield

    async def by_stream() -> None:
        async for _ in stream():
            pass

    async def main() -> None:
        task = asyncio.ensure_future({"guard": by_guard, "loop": by_loop, "stream": by_stream}[form]())
        while not any(isinstance(event, RetryScheduled) for event in events):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert task.cancelled() or await ended(task)

    async def ended(task: asyncio.Future[None]) -> bool:
        await asyncio.wait([task])
        return task.cancelled()

    asyncio.run(main())
    assert upright.breaker(name).phase == "closed"


def test_waits_are_those_of_the_module_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    upright.guard(Plan(2)).with_options(jitter=False)()
    assert slept == [1.0, 2.0]


def test_waits_are_those_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(delay: float) -> None:
        slept.append(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(upright.guard(jitter=False)(Plan(2).awaited)())
    assert slept == [1.0, 2.0]


def test_a_retry_without_delay_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", None)
    assert upright.guard(base_delay=0)(Plan(2))() == "answer"


class TestTrio:
    """Where trio's loop runs, guards wait in it."""

    @pytest.fixture(autouse=True)
    def trio(self) -> Any:
        self.trio = pytest.importorskip("trio")

    def run(self, main: Any) -> Any:
        import trio.testing

        return self.trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    @pytest.mark.parametrize("form", ["guard", "loop"])
    def test_waits_pass_on_trios_clock(self, form: str) -> None:
        plan = Plan(2)

        async def main() -> float:
            began: float = self.trio.current_time()
            if form == "guard":
                assert await upright.guard(jitter=False)(plan.awaited)() == "answer"
            else:
                async for attempt in upright.attempts(jitter=False):
                    with attempt:
                        plan()
            return self.trio.current_time() - began

        assert self.run(main) == pytest.approx(3.0)
        assert plan.count == 3

    def test_an_attempt_ends_with_its_time(self) -> None:
        calls: list[int] = []

        @upright.guard(attempt_timeout=5, jitter=False, max_retries=1)
        async def hangs() -> None:
            calls.append(1)
            await self.trio.sleep_forever()

        with pytest.raises(TimeoutError, match="5.000 s"):
            self.run(hangs)
        assert len(calls) == 2

    def test_a_cancelled_probe_leaves_its_place_to_the_next(self, name: str) -> None:
        breaker = upright.breaker(name, failure_threshold=1, success_threshold=1)
        with pytest.raises(ConnectionRefusedError), breaker:
            raise refused()
        breaker.state = type(breaker.state)("half_open")

        async def main() -> None:
            with self.trio.move_on_after(5):
                await upright.guard(breaker=breaker)(self.trio.sleep_forever)()
            assert breaker.phase == "half_open"
            async with breaker:
                pass

        self.run(main)
        assert breaker.phase == "closed"

    def test_cancelling_ends_a_wait(self) -> None:
        plan = Plan(9)

        async def main() -> bool:
            with self.trio.move_on_after(5) as scope:
                await upright.guard(base_delay=LONG, max_delay=LONG)(plan.awaited)()
            return bool(scope.cancelled_caught)

        assert self.run(main) and plan.count == 1
