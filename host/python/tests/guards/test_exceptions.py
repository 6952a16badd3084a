"""Exceptions come out as they were raised, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import pathlib
import subprocess
import sys
import traceback
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import upright
from plans import Plan, refused

pytestmark = pytest.mark.usefixtures("upright_instantly")
PACKAGE = str(pathlib.Path(upright.__file__).parent)


class Local:
    """A local of a frame that fails."""


class Failing:
    """An operation that fails with a cause, and keeps its exceptions and weak references to its locals."""

    def __init__(self, cause: BaseException | None = None) -> None:
        self.cause = cause
        self.raised: list[int] = []
        self.locals: list[weakref.ref[Local]] = []

    def operation(self) -> None:
        local = Local()
        self.locals.append(weakref.ref(local))
        # No local here holds the exception, which would hold this frame.
        raise self.made() from self.cause

    def made(self) -> BaseException:
        error = refused()
        self.raised.append(id(error))
        return error


def in_guard(failing: Failing, **options: Any) -> None:
    upright.guard(**options)(failing.operation)()


def in_coroutine(failing: Failing, **options: Any) -> None:
    @upright.guard(**options)
    async def coroutine() -> None:
        failing.operation()

    run(coroutine)


def run(coroutine: Callable[[], Awaitable[None]]) -> None:
    """Runs a coroutine function. asyncio keeps an exception that leaves its loop, so none does."""
    raised: list[ConnectionRefusedError] = []

    async def main() -> None:
        try:
            await coroutine()
        except ConnectionRefusedError as error:
            raised.append(error)

    asyncio.run(main())
    while raised:
        raise raised.pop()


def in_loop(failing: Failing, **options: Any) -> None:
    for attempt in upright.attempts(**options):
        with attempt:
            failing.operation()


def in_generator(failing: Failing, **options: Any) -> None:
    @upright.guard(**options)
    def generator() -> Iterator[int]:
        failing.operation()
        yield 1

    list(generator())


def in_execute(failing: Failing, max_retries: int = 3) -> None:
    upright.RetryStrategy(max_retries=max_retries).execute(failing.operation)


def in_execute_async(failing: Failing, max_retries: int = 3) -> None:
    async def coroutine() -> None:
        failing.operation()

    run(lambda: upright.RetryStrategy(max_retries=max_retries).execute_async(coroutine))


def in_block(failing: Failing, **_: Any) -> None:
    with upright.CircuitBreaker():
        failing.operation()


def in_breaker_call(failing: Failing, **_: Any) -> None:
    upright.CircuitBreaker().call(failing.operation)


Form = Callable[..., None]
FORMS: list[Form] = [
    in_guard, in_coroutine, in_loop, in_generator, in_execute, in_execute_async, in_block, in_breaker_call,
]  # fmt: skip
forms = pytest.mark.parametrize("form", FORMS)
retries = pytest.mark.parametrize("max_retries", [0, 2])


def caught(form: Form, failing: Failing, **options: Any) -> ConnectionRefusedError:
    """The exception that comes out of a form."""
    try:
        form(failing, **options)
    except ConnectionRefusedError as error:
        return error
    raise AssertionError("no exception came out")


@forms
@retries
def test_the_exception_is_the_one_that_was_raised_last(form: Form, max_retries: int) -> None:
    failing = Failing()
    assert id(caught(form, failing, max_retries=max_retries)) == failing.raised[-1]


@forms
@retries
@pytest.mark.parametrize("cause", [None, KeyError("cause")])
def test_its_cause_and_context_stay(form: Form, max_retries: int, cause: BaseException | None) -> None:
    error = caught(form, Failing(cause), max_retries=max_retries)
    assert error.__cause__ is cause
    assert error.__context__ is None
    assert error.__suppress_context__ is True


@forms
@retries
def test_its_traceback_has_the_operations_frames_and_at_most_two_of_ours(form: Form, max_retries: int) -> None:
    frames = traceback.extract_tb(caught(form, Failing(), max_retries=max_retries).__traceback__)
    names = [frame.name for frame in frames]
    assert names.count("operation") == 1 and names[-1] == "operation"
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE) or frame.filename == "<upright>"]
    assert len(ours) <= 2, ours


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_each_layer_of_guards_adds_at_most_two_frames(layers: int) -> None:
    async def failing() -> None:
        raise refused()

    guarded = failing
    for _ in range(layers):
        guarded = upright.guard(max_retries=1)(guarded)
    with pytest.raises(ConnectionRefusedError) as raised:
        asyncio.run(guarded())
    frames = traceback.extract_tb(raised.value.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE) or frame.filename == "<upright>"]
    assert len(ours) <= 2 * layers


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have notes from Python 3.11 on")
def test_one_note_says_why_however_many_guards_there_are() -> None:
    def failing() -> None:
        raise error

    error = refused()
    guarded = failing
    for _ in range(3):
        guarded = upright.guard(max_retries=1)(guarded)
    with pytest.raises(ConnectionRefusedError) as raised:
        guarded()
    notes: list[str] = getattr(raised.value, "__notes__", [])
    assert len(notes) == 1 and notes[0].startswith("upright: gave up after 2 attempts in ")
    assert "attempts exhausted" in notes[0] and "connection-refused" in notes[0]


def test_the_record_says_how_the_operation_failed() -> None:
    failure = upright.failure_of(caught(in_guard, Failing(), max_retries=2, base_delay=4, jitter=False))
    assert failure is not None and failure.classification is not None
    assert (failure.attempts, failure.reason) == (3, "attempts_exhausted")
    assert failure.elapsed >= 12 and failure.classification.category == "connection"
    assert upright.failure_of(ValueError()) is None


def test_an_exception_that_refuses_attributes_comes_out() -> None:
    class Slots(ConnectionRefusedError):
        __slots__ = ()

        def __setattr__(self, name: str, value: object) -> None:
            raise TypeError("nothing can be set")

    with pytest.raises(Slots):
        upright.guard(Plan(9, error=Slots))()


@pytest.fixture
def silent() -> Iterator[None]:
    """No record of the log keeps an exception."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def outcome(form: Form, failing: Failing, **options: Any) -> str:
    try:
        form(failing, **options)
    except ConnectionRefusedError:
        return "failed"
    return "no exception came out"


@forms
@retries
def test_nothing_of_a_failed_operation_stays_alive(form: Form, max_retries: int, silent: None) -> None:
    failing = Failing()
    outcome(form, Failing(), max_retries=max_retries)
    gc.collect()
    gc.disable()
    try:
        assert outcome(form, failing, max_retries=max_retries) == "failed"
        is_loop = form in (in_coroutine, in_execute_async)
        # asyncio itself makes cycles, but none that hold what failed.
        assert [ref() for ref in failing.locals] == [None] * len(failing.locals)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [thing for thing in gc.garbage if type(thing).__module__.startswith("upright")]
        assert ours == [] and (is_loop or gc.garbage == [])
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@forms
def test_nothing_of_a_recovered_operation_stays_alive(form: Form, silent: None) -> None:
    if form in (in_block, in_breaker_call):
        pytest.skip("breakers do not retry")

    class Recovering(Failing):
        def operation(self) -> None:
            if len(self.raised) < 2:
                super().operation()

    failing = Recovering()
    gc.collect()
    gc.disable()
    try:
        form(failing)
        assert len(failing.locals) == 2 and [ref() for ref in failing.locals] == [None, None]
    finally:
        gc.enable()


FAILURES = """
import gc, logging, os, weakref
import upright
logging.disable(logging.CRITICAL)

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

@upright.guard(max_retries=1, base_delay=0)
def failing():
    prompt = bytes(1 << 20)
    raise ConnectionRefusedError(111, "Connection refused")

def fail(times):
    for _ in range(times):
        try:
            failing()
        except ConnectionRefusedError:
            pass

fail(1_000)
gc.collect()
before = resident()
fail(50_000)
grown = resident() - before
print(grown, gc.collect())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_over_a_hundred_thousand_failures() -> None:
    done = subprocess.run([sys.executable, "-c", FAILURES], capture_output=True, text=True, check=True)
    grown, cycles = map(int, done.stdout.split())
    assert grown <= 2 * 1024 * 1024 and cycles == 0
