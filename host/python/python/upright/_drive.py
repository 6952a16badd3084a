"""Drives operations after a failure: waits, calls, and does what each step of a course says.

Native code makes the first attempt, and comes here only where that does not end the operation. Each function is there
twice, equal but for `await`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TYPE_CHECKING, cast

from upright import _waits
from upright._course import Course, begin, outside
from upright._current import leave
from upright._errors import RejectedResultError
from upright._native import Attempt, End, Step
from upright._terms import Terms

if TYPE_CHECKING:
    from upright.error_recovery import RetryStrategy

Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any] | None


class Steps(Protocol):
    """An operation whose next step is known."""

    step: Step

    def admit(self) -> None:
        """Decides whether an attempt may be made."""


def following(course: Steps) -> Attempt | End:
    """Waits for the next attempt, or the operation's end."""
    while True:
        step = course.step
        if (following := step.attempt or step.end) is not None:
            return following
        if step.kind == "wait":
            _waits.sleep(step.delay)
        course.admit()


async def following_async(course: Steps) -> Attempt | End:
    """`following` for a loop of events."""
    while True:
        step = course.step
        if (following := step.attempt or step.end) is not None:
            return following
        if step.kind == "wait":
            await _waits.sleep_async(step.delay)
        course.admit()


def drive(course: Course, func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Any:
    """Makes attempts until the operation ends: its result, or its exception."""
    keywords = kwargs or {}
    try:
        while isinstance(step := following(course), Attempt):
            token = course.enter(step)
            try:
                result = func(*args, **keywords)
            except Exception as error:
                if not course.failed(error):
                    raise
            else:
                if course.accepted(result):
                    return result
            finally:
                leave(token)
        if course.step.kind != "fallback":
            raise course.error(step)
        course.falls_back(step)
        if not callable(course.fallback):
            return course.fallback
        try:
            return course.fallback(*args, **keywords)
        except Exception as error:
            own = course.fallback_failed(step, error)
        try:
            raise own
        finally:
            del own
    finally:
        course.release()


async def drive_async(course: Course, func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Any:
    """`drive` for an operation that is awaited."""
    keywords = kwargs or {}
    try:
        while isinstance(step := await following_async(course), Attempt):
            token = course.enter(step)
            try:
                awaitable, limit = func(*args, **keywords), step.time_left
                result = await (awaitable if limit is None else _waits.within(limit, awaitable))
            except Exception as error:
                if not course.failed(error, step.time_left):
                    raise
            else:
                if course.accepted(result):
                    return result
            finally:
                leave(token)
        if course.step.kind != "fallback":
            raise course.error(step)
        course.falls_back(step)
        if not callable(course.fallback):
            return course.fallback
        try:
            result = course.fallback(*args, **keywords)
            return await cast("Awaitable[Any]", result) if hasattr(result, "__await__") else result
        except Exception as error:
            own = course.fallback_failed(step, error)
        try:
            raise own
        finally:
            del own
    finally:
        course.release()


async def await_first(
    terms: Terms,
    admitted: int | bool | None,
    first: Awaitable[Any] | None,
    func: Callable[..., Any],
    args: Arguments,
    kwargs: Keywords,
) -> Any:
    """Awaits the first attempt, which a call may have begun, and goes on where it fails."""
    if first is None:
        admitted = terms.strategy._passes()
        if admitted is False:
            return await drive_async(Course(terms), func, args, kwargs)
    try:
        result = await (func(*args, **(kwargs or {})) if first is None else first)
    except Exception as error:
        course = begin(terms, admitted, outside(error))
        if course is None:
            raise
    else:
        if terms.accept is None or terms.accept(result):
            terms.strategy._passed(admitted)
            return result
        course = begin(terms, admitted, RejectedResultError(result))
        assert course is not None
    return await drive_async(course, func, args, kwargs)


def execute_async(
    strategy: RetryStrategy, func: Callable[..., Any], args: Arguments, kwargs: Keywords, fallback: Any
) -> Awaitable[Any]:
    """Makes an operation that is awaited."""
    return await_first(Terms(strategy, fallback), None, None, func, args, kwargs)
