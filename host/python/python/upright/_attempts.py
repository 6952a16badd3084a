"""Loops over attempts, for operations that are no functions."""

from __future__ import annotations

from contextlib import suppress
from contextvars import Token
from typing import Any

from upright import _drive
from upright._course import Course, begin
from upright._current import leave
from upright._native import Attempt, Attempts, PolicySlot
from upright._options import Options
from upright._terms import ErrorTypes, On, Terms
from upright.error_recovery import CircuitBreaker, RetryStrategy


def attempts(
    *,
    max_retries: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    backoff_factor: float = 2.0,
    jitter: bool = True,
    deadline: float | None = None,
    attempt_timeout: float | None = None,
    breaker: str | CircuitBreaker | None = None,
    on: On | None = None,
    pass_through: ErrorTypes = (),
    idempotent: bool = True,
    policy: PolicySlot | None = None,
    strategy: RetryStrategy | None = None,
) -> Attempts:
    """A loop over the attempts of one operation, also `async for`; the options are those of `guard`.

        for attempt in upright.attempts(max_retries=5):
            with attempt:
                answer = ask(attempt.number)

    The loop ends with the first body that succeeds. The last body's own exception comes out. No body is interrupted:
    it finds the time that its limits leave in `attempt.time_left`.
    """
    given: Any = (
        max_retries,
        base_delay,
        max_delay,
        backoff_factor,
        jitter,
        deadline,
        attempt_timeout,
        breaker,
        on,
        pass_through,
        idempotent,
        policy,
        strategy,
    )
    try:
        terms = _known.get(given)
    except TypeError:
        # Something in it has no hash.
        terms = None
    if terms is None:
        terms = Options(**dict(zip(_NAMES, given))).terms("attempts")
        if len(_known) >= _MOST:
            _known.clear()
        with suppress(TypeError):
            _known[given] = terms
    return Attempts(terms.strategy, terms)


_NAMES = tuple(attempts.__kwdefaults__ or ())
_MOST = 256
_known: dict[Any, Terms] = {}
"""Terms by options. Equal loops share them, since they have no state."""


def _terms_of(loop: Attempts) -> Terms:
    terms: Terms | None = loop._terms
    strategy: Any = loop._strategy
    return terms or Terms(strategy, name="attempts")


def following(loop: Attempts) -> Attempts:
    """Waits for the loop's next attempt."""
    course = _course_of(loop)
    try:
        return _handed_out(loop, course, _drive.following(course))
    except BaseException:
        _end(loop)
        raise


async def following_async(loop: Attempts) -> Attempts:
    """`following` for a loop of events."""
    course = _course_of(loop)
    try:
        return _handed_out(loop, course, await _drive.following_async(course))
    except BaseException:
        _end(loop)
        raise


def _course_of(loop: Attempts) -> Course:
    course: Course | None = loop._course
    if course is None:
        course = loop._course = Course(_terms_of(loop))
    return course


def _handed_out(loop: Attempts, course: Course, step: Any) -> Attempts:
    if not isinstance(step, Attempt):
        raise course.error(step)
    loop._hand_out(step)
    course.begun()
    return loop


def _end(loop: Attempts) -> None:
    course, loop._course = loop._course, None
    loop._hand_out(None)
    if course is not None:
        course.close()


def failed(loop: Attempts, generation: int | None, error: Exception) -> bool:
    """The body failed: whether another attempt follows."""
    course: Course | None = loop._course
    if course is None:
        course = begin(_terms_of(loop), generation, error)
        loop._course = course
        handled = course is not None
    else:
        handled = course.failed(error)
    if course is None or not handled or (end := course.step.end) is None:
        if not handled:
            _end(loop)
        return handled
    course.error(end)
    _end(loop)
    return False


def succeeded(loop: Attempts) -> None:
    """The body of an attempt of a course succeeded."""
    course: Course = loop._course
    course.succeeded()
    _end(loop)


def left(token: Token[Attempt | None]) -> None:
    """The body of an attempt was left."""
    leave(token)
