"""The course of one operation: what the native run decides, for the drivers."""

from __future__ import annotations

from contextvars import Token
from typing import Any

from upright import _breakers, _current, _hearing, _log, _waits
from upright._errors import RejectedResultError
from upright._facts import read
from upright._failure import note, note_broken, say
from upright._native import Attempt, End, Run, Strategy, classify
from upright._terms import Terms

GENERATED = "<upright>"
"""The file name of generated code."""

_OURS = {GENERATED, *(__file__.replace("_course", name) for name in ("_drive", "_streams", "_waits"))}
_OFF = Strategy()
_OFF._configure("off", max_retries=0, base_delay=0, max_delay=0, backoff_factor=1, jitter=False, jitter_range=(1, 1))


class Opened:
    """An iterator whose first item is known, as an attempt's result. `is_over` says that there was none."""

    __slots__ = ("is_over",)

    is_over: bool


class Course:
    """One operation, after its first attempt has failed or where a guard must be asked before it."""

    __slots__ = ("_breaker", "_final", "_is_off", "_last", "_run", "_streams", "_terms", "step")

    def __init__(self, terms: Terms, admitted: int | None = None, error: Exception | None = None) -> None:
        strategy: Strategy = terms.strategy
        test, changes = _waits.instead, _current.changes.get()
        self._is_off = test is not None and test.is_off
        if self._is_off:
            strategy = _OFF
        elif test is not None and test.attempts is not None:
            strategy = strategy._changed(max_retries=test.attempts - 1)
        elif changes:
            strategy = strategy._changed(**changes)
        self._terms = terms
        self._breaker = None if self._is_off else terms.strategy.circuit_breaker
        self._last: Exception | None = None
        self._final: BaseException | None = None
        self._streams = False
        has_fallback = terms.fallback is not None and not self._is_off
        if error is None:
            self._run = Run(strategy, fallback=has_fallback)
            self.admit()
        else:
            self._run = Run.after_first(strategy, admitted, fallback=has_fallback)
            self._failed(error, None)

    @property
    def fallback(self) -> Any:
        """It serves where nothing else helps."""
        return self._terms.fallback

    def admit(self) -> None:
        """Decides whether an attempt may be made."""
        self.step = self._run.admit()
        _breakers.moved(self._breaker)
        if (end := self.step.end) is not None and self.step.kind == "fail":
            self._gave_up(end)

    def enter(self, attempt: Attempt) -> Token[Attempt | None]:
        """Begins an attempt. Give the token to `leave`."""
        self._run.begun()
        return _current.current.set(attempt)

    def begun(self) -> None:
        """An attempt begins, whose context others look after."""
        self._run.begun()

    def accepted(self, result: Any) -> bool:
        """Whether the attempt's result ends the operation."""
        accept = self._terms.accept
        if isinstance(result, Opened):
            self._streams = not result.is_over
            if self._streams:
                return True
        elif accept is not None and not accept(result):
            self._failed(RejectedResultError(result), None)
            return False
        self.succeeded()
        return True

    def succeeded(self) -> None:
        """The attempt succeeded."""
        run = self._run
        run.succeeded()
        _breakers.moved(self._breaker)
        if run.attempts > 1 and _hearing.registered:
            from upright import _events

            _hearing.tell(_events.Recovered(self._terms.name, run.attempts, run.elapsed))

    def failed(self, error: Exception, limit: float | None = None) -> bool:
        """The attempt failed, within a limit of seconds. `False` where the exception is not a guard's business."""
        if self._is_off or self._terms.passes(error):
            return False
        self._failed(outside(error), limit)
        return True

    def broke(self, error: Exception) -> None:
        """The attempt failed when items were out already: nothing follows."""
        if self._is_off or self._terms.passes(error):
            return
        run, fault = self._run, read(error)
        run.broken(fault)
        _breakers.has_failed(self._breaker)
        meaning = classify(fault)
        failure = note_broken(error, run.attempts, run.elapsed, meaning)
        if _hearing.registered:
            from upright import _events

            name = self._terms.name
            _hearing.tell(_events.AttemptFailed(name, failure.attempts, error, meaning))
            _hearing.tell(_events.GaveUp(name, failure.attempts, failure.elapsed, failure.reason, error, meaning))

    def error(self, end: End) -> BaseException:
        """The exception that the caller gets: the operation's own, or the rejection of a guard."""
        if self._final is None:
            rejection, last = end.rejection(), self._last
            if rejection is not None:
                rejection.__cause__ = last
            self._final = rejection or last or RuntimeError(end.reason)
            note(self._final, end)
        return self._final

    def falls_back(self, end: End) -> None:
        """The fallback serves."""
        _log.falls_back()
        if _hearing.registered:
            from upright import _events

            _hearing.tell(_events.FallbackUsed(self._terms.name, end.attempts, end.elapsed, end.reason))

    def fallback_failed(self, end: End, failed: Exception) -> BaseException:
        """The operation's own exception, with a note on the fallback's."""
        _log.fallback_failed(failed)
        error = self.error(end)
        say(error, f"upright: the fallback failed, too: {type(failed).__name__}: {_log.text(failed)}")
        self._gave_up(end)
        return error

    def release(self) -> None:
        """Ends the operation, unless its items are still coming."""
        if not self._streams:
            self.close()

    def close(self) -> None:
        """Ends the operation. An attempt in flight counts for nothing."""
        self._run.release()
        # A traceback that holds a frame of ours would keep the exception alive, and itself.
        self._last = self._final = None

    def _failed(self, error: Exception, limit: float | None) -> None:
        run, terms = self._run, self._terms
        timed_out = limit if isinstance(error, _waits.AttemptTimeout) and error.limit == limit else None
        fault = read(error)
        self._last, self._streams = error, False
        self.step = step = run.failed(fault, timed_out, may_retry=terms.may_retry(error))
        _breakers.has_failed(self._breaker)
        if terms.observe is not None:
            terms.observe(error)
        _log.attempt_failed(terms.strategy, run, step, error)
        if _hearing.registered:
            from upright import _events

            _hearing.tell(_events.AttemptFailed(terms.name, run.attempts, error, classify(fault)))
            if step.kind == "wait":
                _hearing.tell(_events.RetryScheduled(terms.name, run.attempts + 1, step.delay))
        if step.kind == "fail" and (end := step.end) is not None:
            self._gave_up(end)

    def _gave_up(self, end: End) -> None:
        if _hearing.registered:
            from upright import _events

            name, error = self._terms.name, self.error(end)
            _hearing.tell(_events.GaveUp(name, end.attempts, end.elapsed, end.reason, error, end.classification))


def begin(terms: Terms, admitted: int | bool | None, error: Exception | None) -> Course | None:
    """The course of an operation, from its start or after its first attempt failed, which passed in this generation.

    `None` where the exception is not a guard's business.
    """
    if error is None:
        return Course(terms)
    test = _waits.instead
    if (test is not None and test.is_off) or terms.passes(error):
        return None
    return Course(terms, admitted, error)


def outside(error: Exception) -> Exception:
    """The exception, with the outermost frames that are ours off its traceback."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename in _OURS:
        traceback = traceback.tb_next
    # An exception may refuse attributes.
    return error.with_traceback(traceback)
