"""Generators under guard."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from types import CodeType, GeneratorType
from typing import Any

import pytest

import upright
from plans import Plan, refused
from upright.hooks import AttemptFailed, Event, GaveUp
from upright.testing import Instantly

pytestmark = pytest.mark.usefixtures("upright_instantly")

Reader = Callable[[Any], list[Any]]


def read(stream: Any) -> list[Any]:
    """All items of a stream of either kind."""

    async def items() -> list[Any]:
        return [item async for item in stream]

    return asyncio.run(items()) if hasattr(stream, "__aiter__") else list(stream)


def stream_of(kind: str, before: Plan, after: Plan, **options: Any) -> Callable[[], Any]:
    """A guarded generator that calls one plan before its first item, and one after it."""
    if kind == "plain":

        @upright.guard(**options)
        def plain() -> Iterator[Any]:
            before()
            yield 1
            after()
            yield 2

        return plain

    @upright.guard(**options)
    async def asynchronous() -> AsyncIterator[Any]:
        before()
        yield 1
        after()
        yield 2

    return asynchronous


both = pytest.mark.parametrize("kind", ["plain", "asynchronous"])


@both
def test_a_generator_that_fails_before_its_first_item_is_retried(kind: str, upright_instantly: Instantly) -> None:
    before = Plan(2)
    assert read(stream_of(kind, before, Plan(0))()) == [1, 2]
    assert before.count == 3 and len(upright_instantly) == 2


@both
def test_a_generator_that_fails_after_its_first_item_is_not_retried(kind: str, events: list[Event]) -> None:
    before = Plan(0)
    stream = stream_of(kind, before, Plan(1))()
    seen: list[Any] = []

    async def collect() -> None:
        async for item in stream:
            seen.append(item)

    with pytest.raises(ConnectionRefusedError) as raised:
        if kind == "plain":
            seen.extend(iter([next(stream)]))
            next(stream)
        else:
            asyncio.run(collect())
    assert seen == [1] and before.count == 1
    failure = upright.failure_of(raised.value)
    assert failure is not None and failure.reason == "first_item_is_out"
    assert [type(event) for event in events] == [AttemptFailed, GaveUp]


@both
def test_a_generator_begins_again_after_items_where_its_reader_wants_that(kind: str) -> None:
    before = Plan(0)
    assert read(stream_of(kind, before, Plan(2), restart=True)()) == [1, 1, 1, 2]
    assert before.count == 3


@both
def test_a_restarted_generator_gives_up_like_any_operation(kind: str) -> None:
    before = Plan(0)
    with pytest.raises(ConnectionRefusedError):
        read(stream_of(kind, before, Plan(9), restart=True, max_retries=1)())
    assert before.count == 2


@both
def test_an_empty_generator_is_a_success(kind: str) -> None:
    @upright.guard
    def plain() -> Generator[int, None, str]:
        if False:
            yield 1
        return "value"

    @upright.guard
    async def asynchronous() -> AsyncIterator[int]:
        if False:
            yield 1

    assert read(plain() if kind == "plain" else asynchronous()) == []


@both
def test_a_fallback_gives_the_items(kind: str) -> None:
    assert read(stream_of(kind, Plan(9), Plan(0), fallback=["from", "fallback"])()) == ["from", "fallback"]


def test_a_fallback_may_be_an_asynchronous_generator() -> None:
    async def fallback() -> AsyncIterator[str]:
        yield "from"
        yield "fallback"

    assert read(stream_of("asynchronous", Plan(9), Plan(0), fallback=fallback)()) == ["from", "fallback"]


@both
def test_a_breaker_hears_of_streams_that_break_in_the_middle(kind: str, name: str) -> None:
    breaker = upright.breaker(name, failure_threshold=3, failure_rate_threshold=2.0)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            read(stream_of(kind, Plan(0), Plan(9), breaker=breaker)())
    assert breaker.phase == "open"


@both
def test_a_stream_that_its_reader_leaves_closes_the_breaker(kind: str, name: str, upright_instantly: Instantly) -> None:
    breaker = upright.breaker(name, failure_threshold=1, success_threshold=1)
    with pytest.raises(ConnectionRefusedError), breaker:
        raise refused()
    upright_instantly.skip(61)
    stream = stream_of(kind, Plan(0), Plan(0), breaker=breaker)()

    async def first() -> None:
        await stream.__anext__()
        await stream.aclose()

    if kind == "plain":
        next(stream)
        stream.close()
    else:
        asyncio.run(first())
    assert breaker.phase == "closed"


def test_values_exceptions_and_closing_reach_a_generator() -> None:
    seen: list[Any] = []

    @upright.guard
    def echo() -> Generator[Any, Any, str]:
        try:
            seen.append((yield "first"))
            try:
                yield "second"
            except KeyError as error:
                seen.append(error)
                yield "third"
        finally:
            seen.append("closed")
        return "result"

    stream = echo()
    assert next(stream) == "first"
    assert stream.send("sent") == "second"
    error = KeyError("thrown")
    assert stream.throw(error) == "third"
    # Whoever else holds the generator, it is closed.
    held = [thing for thing in gc.get_objects() if isinstance(thing, GeneratorType) and thing.gi_code is code_of(echo)]
    stream.close()
    assert len(held) == 1 and seen == ["sent", error, "closed"]


def code_of(guarded: Any) -> CodeType:
    code: CodeType = guarded.__wrapped__.__code__
    return code


def test_the_result_of_a_generator_comes_out() -> None:
    @upright.guard
    def generator() -> Generator[int, None, str]:
        yield 1
        return "result"

    def outer() -> Generator[int, None, None]:
        assert (yield from generator()) == "result"

    assert list(outer()) == [1]


def test_values_exceptions_and_closing_reach_an_asynchronous_generator() -> None:
    seen: list[Any] = []

    @upright.guard
    async def echo() -> Any:
        try:
            seen.append((yield "first"))
            try:
                yield "second"
            except KeyError as error:
                seen.append(error)
                yield "third"
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    async def main() -> None:
        stream: Any = echo()
        assert await stream.__anext__() == "first"
        assert await stream.asend("sent") == "second"
        assert await stream.athrow(KeyError("thrown")) == "third"
        await stream.aclose()
        # At once, and not when the loop ends.
        assert seen[2] == "closed"

    asyncio.run(main())
    assert seen[0] == "sent" and isinstance(seen[1], KeyError)


@both
def test_an_exception_that_the_reader_throws_counts_for_no_breaker(kind: str, name: str) -> None:
    breaker = upright.breaker(name, failure_threshold=1)
    stream = stream_of(kind, Plan(0), Plan(0), breaker=breaker, restart=True)()

    async def thrown() -> None:
        await stream.__anext__()
        await stream.athrow(ConnectionError("the reader's"))

    with pytest.raises(ConnectionError, match="reader's"):
        if kind == "plain":
            next(stream)
            stream.throw(ConnectionError("the reader's"))
        else:
            asyncio.run(thrown())
    assert breaker.phase == "closed"


def test_cancelling_a_stream_cancels_the_generator() -> None:
    seen: list[str] = []

    @upright.guard
    async def endless() -> AsyncIterator[int]:
        yield 1
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def consume(started: asyncio.Event) -> None:
        async for _ in endless():
            started.set()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(consume(started))
        await started.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == ["cancelled"]


def test_accept_is_refused_for_a_generator() -> None:
    with pytest.raises(TypeError, match="generator"):

        @upright.guard(accept=bool)
        def stream() -> Iterator[int]:
            yield 1
