"""Drives operations after a failure: waits, calls, and does what each step of a run says.

Native code makes the first attempt, and comes here only where that does not end the operation. The two loops are equal
but for `await`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import update_wrapper, wraps
from typing import Any

from upright import _log
from upright._facts import is_pass_through, read
from upright._failure import note
from upright._native import Attempt, Breaker, End, Guarded, Permit, Run, Step, Strategy

Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any] | None

current: ContextVar[Attempt | None] = ContextVar("upright_attempt", default=None)
# Gets each exception of an attempt that failed.
observer: ContextVar[Callable[[Exception], Any] | None] = ContextVar("upright_observer", default=None)


def guarded(func: Callable[..., Any], strategy: Strategy, fallback: Any) -> Any:
    """A function under guard, with the name, signature and kind of the function."""
    if inspect.iscoroutinefunction(func):

        @wraps(func)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await execute_async(strategy, func, args, kwargs, fallback)

        return awaited
    return update_wrapper(Guarded(func, strategy, fallback), func)


def go_on(
    strategy: Strategy,
    generation: int | None,
    error: Exception,
    func: Callable[..., Any],
    args: Arguments,
    kwargs: Keywords,
    fallback: Any,
) -> Any:
    """Goes on after the first attempt, which native code made, has failed."""
    if is_pass_through(error):
        raise error
    run = Run.after_first(strategy, generation, fallback=fallback is not None)
    return _drive(run, _failed(strategy, run, error), error, strategy, func, args, kwargs, fallback)


def begin(strategy: Strategy, func: Callable[..., Any], args: Arguments, kwargs: Keywords, fallback: Any) -> Any:
    """Makes an operation from its first attempt, where a guard must be asked before."""
    run = Run(strategy, fallback=fallback is not None)
    return _drive(run, run.admit(), None, strategy, func, args, kwargs, fallback)


def _drive(
    run: Run,
    step: Step,
    last: Exception | None,
    strategy: Strategy,
    func: Callable[..., Any],
    args: Arguments,
    kwargs: Keywords,
    fallback: Any,
) -> Any:
    keywords = kwargs or {}
    try:
        while True:
            if (attempt := step.attempt) is not None:
                token = current.set(attempt)
                run.begun()
                try:
                    result = func(*args, **keywords)
                except Exception as error:
                    if is_pass_through(error):
                        raise
                    last = error
                    step = _failed(strategy, run, error)
                else:
                    run.succeeded()
                    return result
                finally:
                    current.reset(token)
            elif (end := step.end) is not None:
                if step.kind != "fallback":
                    raise _error(end, last)
                if not callable(fallback):
                    return fallback
                _log.falls_back()
                try:
                    return fallback(*args, **keywords)
                except Exception as failed:
                    raise _fallback_failed(end, last, failed) from None
            else:
                if step.kind == "wait":
                    time.sleep(step.delay)
                step = run.admit()
    finally:
        run.release()
        # A traceback that holds this frame would keep the exception alive, and itself.
        last = None


async def await_first(
    strategy: Strategy,
    generation: int | None,
    first: Awaitable[Any],
    func: Callable[..., Any],
    args: Arguments,
    kwargs: Keywords,
    fallback: Any,
) -> Any:
    """Awaits the first attempt, which a call has begun, and goes on where it fails."""
    try:
        result = await first
    except Exception as error:
        if is_pass_through(error):
            raise
        last = error
    else:
        strategy._passed(generation)
        return result
    run = Run.after_first(strategy, generation, fallback=fallback is not None)
    try:
        return await _drive_async(run, _failed(strategy, run, last), last, strategy, func, args, kwargs, fallback)
    finally:
        del last


async def execute_async(
    strategy: Strategy, func: Callable[..., Any], args: Arguments, kwargs: Keywords, fallback: Any
) -> Any:
    """Makes an operation that is awaited."""
    passes = strategy._passes()
    if passes is not False:
        return await await_first(strategy, passes, func(*args, **(kwargs or {})), func, args, kwargs, fallback)
    run = Run(strategy, fallback=fallback is not None)
    return await _drive_async(run, run.admit(), None, strategy, func, args, kwargs, fallback)


async def _drive_async(
    run: Run,
    step: Step,
    last: Exception | None,
    strategy: Strategy,
    func: Callable[..., Any],
    args: Arguments,
    kwargs: Keywords,
    fallback: Any,
) -> Any:
    keywords = kwargs or {}
    try:
        while True:
            if (attempt := step.attempt) is not None:
                token = current.set(attempt)
                run.begun()
                try:
                    result = await within(attempt.time_left, func(*args, **keywords))
                except Exception as error:
                    if is_pass_through(error):
                        raise
                    last = error
                    step = _failed(strategy, run, error, attempt.time_left)
                else:
                    run.succeeded()
                    return result
                finally:
                    current.reset(token)
            elif (end := step.end) is not None:
                if step.kind != "fallback":
                    raise _error(end, last)
                if not callable(fallback):
                    return fallback
                _log.falls_back()
                try:
                    result = fallback(*args, **keywords)
                    return await result if hasattr(result, "__await__") else result
                except Exception as failed:
                    raise _fallback_failed(end, last, failed) from None
            else:
                if step.kind == "wait":
                    await sleep(step.delay)
                step = run.admit()
    finally:
        run.release()
        last = None


class AttemptTimeout(TimeoutError):
    """An attempt did not end within its time limit."""


async def within(limit: float | None, awaitable: Awaitable[Any]) -> Any:
    """The result of an awaitable that ends within `limit` seconds."""
    if limit is None:
        return await awaitable
    try:
        return await asyncio.wait_for(awaitable, limit)
    except asyncio.TimeoutError:
        raise AttemptTimeout(f"the attempt did not end within {limit:.3f} s") from None


async def sleep(delay: float) -> None:
    """Waits in the event loop that runs."""
    await asyncio.sleep(delay)


def _failed(strategy: Strategy, run: Run, error: Exception, limit: float | None = None) -> Step:
    timed_out = limit if isinstance(error, AttemptTimeout) else None
    step = run.failed(read(error), timed_out)
    if (observe := observer.get()) is not None:
        observe(error)
    _log.attempt_failed(strategy, run, step, error)
    return step


def _error(end: End, last: Exception | None) -> BaseException:
    """The exception that the caller gets: the operation's own, or the rejection of a guard."""
    rejection = end.rejection()
    if rejection is None:
        error: BaseException = last or RuntimeError(end.reason)
    else:
        rejection.__cause__ = last
        error = rejection
    note(error, end)
    return error


def _fallback_failed(end: End, last: Exception | None, failed: Exception) -> BaseException:
    """The operation's own exception, with a note on the fallback's."""
    _log.fallback_failed(failed)
    error = _error(end, last)
    if hasattr(error, "add_note"):
        error.add_note(f"upright: the fallback failed, too: {type(failed).__name__}")
    return error


def breaker_failed(breaker: Breaker, permit: Permit, error: Exception) -> None:
    """Reports the failure of a call that a breaker admitted."""
    if is_pass_through(error):
        permit.release()
        return
    before = breaker.phase
    permit.failed(read(error))
    breaker._failed_at(time.time())
    _log.breaker_moved(before, breaker)


async def breaker_watches(breaker: Breaker, permit: Permit, awaitable: Awaitable[Any]) -> Any:
    """Reports the outcome of a coroutine that a breaker admitted."""
    try:
        result = await awaitable
    except Exception as error:
        breaker_failed(breaker, permit, error)
        raise
    except BaseException:
        permit.release()
        raise
    before = breaker.phase
    permit.succeeded()
    _log.breaker_moved(before, breaker)
    return result
