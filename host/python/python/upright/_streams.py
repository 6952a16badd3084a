"""Generators under guard: retried until their first item is out, and never after."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from functools import wraps
from types import TracebackType
from typing import Any, cast

from upright._course import Course, Opened
from upright._drive import drive, drive_async
from upright._terms import Terms


class Stream(Opened):
    """A generator whose first item was taken. It gives that item again, and passes everything on."""

    __slots__ = ("_first", "_source", "thrown")

    def __init__(self, source: Generator[Any, Any, Any], first: Any) -> None:
        self.is_over = False
        self._first = [first]
        self._source = source
        self.thrown: BaseException | None = None

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        return self._first.pop() if self._first else next(self._source)

    def send(self, value: Any) -> Any:
        """Sends a value into the generator."""
        return self._source.send(value)

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> Any:
        """Throws an exception into the generator."""
        if error is None:
            error = kind() if isinstance(kind, type) else kind
        self.thrown = error
        return self._source.throw(error)

    def close(self) -> None:
        """Closes the generator."""
        self._source.close()


class Over(Opened):
    """A generator that ended before its first item, with this value."""

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.is_over = True
        self.value = value


class AsyncStream(Opened):
    """An asynchronous generator whose first item was taken."""

    __slots__ = ("first", "source")

    def __init__(self, source: AsyncGenerator[Any, Any], first: Any) -> None:
        self.is_over = False
        self.source = source
        self.first = first


def generator(func: Callable[..., Generator[Any, Any, Any]], terms: Terms, restart: bool) -> Callable[..., Any]:
    """A generator function under guard."""

    def opened(*args: Any, **kwargs: Any) -> Opened:
        source = func(*args, **kwargs)
        try:
            return Stream(source, next(source))
        except StopIteration as end:
            return Over(end.value)

    @wraps(func)
    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        course = Course(terms)
        try:
            while True:
                stream: Any = drive(course, opened, args, kwargs)
                if isinstance(stream, Over):
                    return stream.value
                if not isinstance(stream, Stream):
                    return (yield from _items(stream))
                try:
                    result: Any = yield from _items(stream)
                except Exception as error:
                    if not _goes_on(course, error, restart, stream.thrown):
                        raise
                except GeneratorExit:
                    course.succeeded()
                    raise
                else:
                    course.succeeded()
                    return result
        finally:
            course.close()

    return guarded


def async_generator(func: Callable[..., AsyncGenerator[Any, Any]], terms: Terms, restart: bool) -> Callable[..., Any]:
    """An asynchronous generator function under guard."""

    async def opened(*args: Any, **kwargs: Any) -> Opened:
        source = func(*args, **kwargs)
        try:
            return AsyncStream(source, await source.__anext__())
        except StopAsyncIteration:
            return Over()

    @wraps(func)
    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        course = Course(terms)
        try:
            while True:
                stream: Any = await drive_async(course, opened, args, kwargs)
                if isinstance(stream, Over):
                    return
                if hasattr(stream, "__aiter__"):
                    async for item in stream:
                        yield item
                    return
                if not isinstance(stream, AsyncStream):
                    for item in stream:
                        yield item
                    return
                item, source, thrown = stream.first, stream.source, None
                try:
                    while True:
                        try:
                            sent = yield item
                        except GeneratorExit:
                            await source.aclose()
                            raise
                        except BaseException as error:
                            thrown = error
                            item = await source.athrow(error)
                        else:
                            item = await source.asend(sent)
                except StopAsyncIteration:
                    course.succeeded()
                    return
                except Exception as error:
                    if not _goes_on(course, error, restart, thrown):
                        raise
                except GeneratorExit:
                    course.succeeded()
                    raise
                finally:
                    del thrown
        finally:
            course.close()

    return guarded


def _items(stream: Any) -> Generator[Any, Any, Any]:
    """For type checkers: what can be iterated, as what `yield from` makes of it."""
    return cast("Generator[Any, Any, Any]", stream)


def _goes_on(course: Course, error: Exception, restart: bool, thrown: BaseException | None) -> bool:
    """Whether the generator begins again after it failed between items. An exception of the reader's is its own."""
    if error is thrown:
        return False
    if restart:
        return course.failed(error)
    course.broke(error)
    return False
