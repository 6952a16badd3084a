"""HTTP requests under guard: the part that transports of all HTTP clients share. Nothing here sends or waits."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any, Protocol, TypeVar, cast

from upright import _breakers, _current, _events, _hearing, _log, _waits
from upright._errors import AnswerError, CircuitOpenError
from upright._facts import read
from upright._failure import note, note_broken
from upright._native import Breaker, End, Fault, Judge, Run, Step, Strategy, classify
from upright.error_recovery import CircuitBreaker, RetryStrategy

MOST_HOSTS = 1_000
"""Hosts that have a breaker of their own; the oldest goes first."""

_MOST_WINDOWS = 1_000
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
_STREAMS = ("text/event-stream", "application/x-ndjson")


Error = TypeVar("Error", bound=Exception)


def own(ours: type[Error], theirs: type[Exception]) -> type[Error]:
    """Our exception as one of an HTTP client's, for callers that catch its own."""
    return cast("type[Error]", type(ours.__name__, (ours, theirs), {"__module__": "upright", "__doc__": ours.__doc__}))


def own_circuit_open(theirs: type[Exception]) -> type[CircuitOpenError]:
    """`own` of a rejected request. Its arguments are those of `CircuitOpenError`, whatever the client's error takes."""

    def begin(error: Exception, breaker: str = "circuit", time_left: float | None = 0.0) -> None:
        theirs.__init__(error, "")
        error.args = (breaker, time_left)

    kind = own(CircuitOpenError, theirs)
    kind.__init__ = begin  # type: ignore[assignment]
    return kind


class Errors(Protocol):
    """Exceptions of an HTTP client, for failures that it does not see by itself."""

    answer: type[AnswerError]
    """An answer that is not whole."""

    circuit_open: type[CircuitOpenError]
    """A request that a breaker rejected."""

    timeout: type[Exception]
    """A time limit of the client passed."""


class Guard:
    """The part that all requests of one transport share: its strategy, and a breaker for each host.

    A strategy without a breaker means none for hosts, either. `seed` says whether streamed questions get a seed.
    Threads may share it.
    """

    def __init__(self, strategy: Strategy | None, seed: bool = False) -> None:
        self.strategy = RetryStrategy() if strategy is None else strategy
        self.seed = seed
        self.breakers: dict[str, Breaker] = {}
        self._windows: dict[tuple[str, str | None], int] = {}
        self._warned = False
        self._lock = Lock()

    def exchange(
        self, errors: Errors, method: str, host: str, path: str, body: bytes | None, retried: str | None
    ) -> Exchange | None:
        """A request under guard; `None` for one that passes untouched.

        `body` is `None` if it can be read only once. `retried` is the number of retries that the client above says it
        has made.
        """
        self._notice(retried)
        test = _waits.instead
        if test is not None and test.is_off:
            return None
        judge = Judge.of(path, body) if method == "POST" else None
        if judge is not None:
            return Exchange(self, errors, host, self._breaker(host), judge, body is not None)
        if method in _IDEMPOTENT and body is not None:
            return Exchange(self, errors, host, None, None, True)
        return None

    def settings(self) -> Strategy:
        """The strategy with the changes that hold in this context."""
        test, changes = _waits.instead, _current.changes.get()
        if test is not None and test.attempts is not None:
            return self.strategy._changed(max_retries=test.attempts - 1)
        return self.strategy._changed(**changes) if changes else self.strategy

    def _breaker(self, host: str) -> Breaker | None:
        like = getattr(self.strategy, "circuit_breaker", None)
        if like is None:
            return None
        with self._lock:
            breaker = self.breakers.pop(host, None)
            if breaker is None:
                breaker = CircuitBreaker._of(host, like._settings, like._policy)
            self.breakers[host] = breaker
            while len(self.breakers) > MOST_HOSTS:
                del self.breakers[next(iter(self.breakers))]
        return breaker

    def window(self, host: str, model: str | None) -> int | None:
        """The window that the model turned out to need on this host, tokens."""
        return self._windows.get((host, model))

    def keep_window(self, host: str, model: str | None, window: int | None) -> None:
        """Keeps a window for later requests, since each other one loads the model again. `None` forgets it."""
        with self._lock:
            self._windows.pop((host, model), None)
            if window is not None:
                self._windows[host, model] = window
            while len(self._windows) > _MOST_WINDOWS:
                del self._windows[next(iter(self._windows))]

    def _notice(self, retried: str | None) -> None:
        if self._warned or retried in (None, "0"):
            return
        self._warned = True
        _log.logger.warning(
            "The client retries by itself, so that its attempts and Upright's multiply: set max_retries=0"
        )


def _seed() -> int:
    """A random seed, of those that Ollama takes for a choice. The generator of `random` stays as the program set it."""
    return int.from_bytes(os.urandom(8), "big") % (2**31 - 1) + 1


class Exchange:
    """One request: its run, and the judge of its answers if a model gives them."""

    step: Step

    def __init__(
        self,
        guard: Guard,
        errors: Errors,
        host: str,
        breaker: Breaker | None,
        judge: Judge | None,
        repeatable: bool,
    ) -> None:
        self.judge = judge
        self._guard = guard
        self._errors = errors
        self._host = host
        self._breaker = breaker
        self._repeatable = repeatable
        self._window: int | None = None
        self._limit: float | None = None
        self._last: Exception | None = None
        self._body: bytes | None = None
        self._has_come = False
        self._cut: tuple[bytes, Exception] | None = None
        """The words and the exception of the first cut, once the caller has a part of the answer."""
        self.own_words: tuple[Any, list[bytes]] | None = None
        """The response and the pieces of a stream in which the server itself says that it failed."""
        self._run = Run(guard.settings(), breaker=False if breaker is None else breaker)
        self.admit()

    def begin(self) -> tuple[bytes | None, float | None]:
        """An attempt begins. Its body, where it can differ from the request's, and its time limit in seconds."""
        attempt, self.own_words = self.step.attempt, None
        self._run.begun()
        self._limit = attempt.time_left if attempt else None
        if self.judge is None or not self._repeatable or self._cut is not None:
            # Only an equal request has an equal answer.
            return self._body, self._limit
        model, fixed = self.judge.model, self.judge.window is not None
        asked = attempt.window if attempt else None
        self._window = asked or (None if fixed else self._guard.window(self._host, model))
        self._body = self.judge.body(self._window, _seed() if self._guard.seed else None)
        return self._body, self._limit

    def answers(self, status: int, content_type: str) -> bool:
        """An answer of this status and type begins. Whether it is to be judged; other ones pass as they are."""
        if self.judge is None or not 200 <= status < 300:
            return False
        self._has_come = False
        if self._cut is not None:
            self.judge.repeat()
            return True
        self.judge.begin(content_type.partition(";")[0].strip().lower() in _STREAMS)
        return True

    def brought(self, response: Any, held: list[bytes], piece: bytes | None, broke: Exception | None) -> bool:
        """Takes the next piece of an answer of which the caller has nothing; `None` where it ended, or broke off.

        `held` keeps what is the caller's. Whether the caller may get the answer; raises what is wrong with it.
        """
        new, error = self.took(piece, broke)
        if new:
            held.append(new)
        if error is not None:
            if self.judge is not None and self.judge.says_failed and self.judge.streamed:
                held.append(self.judge.failed_with())
                self.own_words = response, held
            raise error
        return piece is None or self.is_ready

    def took(self, piece: bytes | None, broke: Exception | None) -> tuple[bytes, Exception | None]:
        """Takes the answer's next piece; `None` where it ended, or broke off.

        The bytes of it that are the caller's, and the error of an answer that is not whole.
        """
        if self.judge is None or broke is not None and not self._has_come:
            return piece or b"", broke
        self._has_come = True
        new, fault = self.judge.end(broke is None) if piece is None else self.judge.push(piece)
        if fault is None:
            return new, None
        if isinstance(broke, self._errors.timeout):
            return new, broke
        error = self._errors.answer(fault)
        error.__cause__ = broke
        return new, error

    @property
    def is_ready(self) -> bool:
        """Whether the caller may get the answer: its first content or its end has come."""
        judge = self.judge
        return judge is not None and judge.streamed and (judge.has_content or judge.is_over)

    def failed(self, error: Exception) -> None:
        """The attempt failed. Sets the next step."""
        fault = self._fault(error)
        # It may be the larger window why the model did not load.
        if self._window is not None and self._cut is None and not isinstance(error, AnswerError):
            self._guard.keep_window(self._host, self.judge.model if self.judge else None, None)
        timed_out = self._limit if isinstance(error, self._errors.timeout) else None
        self._goes_on(self._run.failed(fault, timed_out, may_retry=self._repeatable), fault, error)

    def _goes_on(self, step: Step, fault: Fault, error: Exception) -> None:
        """This step follows a failed attempt."""
        self.step, self._last = step, error
        _breakers.has_failed(self._breaker)
        _log.attempt_failed(self._guard.strategy, self._run, step, error)
        if _hearing.registered:
            _hearing.tell(_events.AttemptFailed(self._host, self._run.attempts, error, classify(fault)))
            if step.kind == "wait":
                _hearing.tell(_events.RetryScheduled(self._host, self._run.attempts + 1, step.delay))

    def admit(self) -> None:
        """The wait is over. Sets the next step."""
        self.step = self._run.admit()
        _breakers.moved(self._breaker)

    def error(self, end: End) -> Exception:
        """The exception that the caller gets: the first cut's or the last attempt's own, or the breaker's rejection."""
        rejection = end.rejection()
        if self._cut is not None:
            error = self._cut[1]
        elif isinstance(rejection, CircuitOpenError):
            error = self._errors.circuit_open(rejection.breaker, rejection.time_left)
            error.__cause__ = self._last
        else:
            error = self._last or RuntimeError(end.reason)
        note(error, end)
        if _hearing.registered:
            gave_up = _events.GaveUp(self._host, end.attempts, end.elapsed, end.reason, error, end.classification)
            _hearing.tell(gave_up)
        self.release()
        return error

    def broke(self, error: Exception) -> bool:
        """The answer broke after its caller got a part of it. Whether a repeat may follow: sets the next step then."""
        judge = self.judge
        if self._cut is None:
            self._cut = judge.failed_with() if judge is not None and judge.says_failed else b"", error
        run, fault = self._run, self._fault(error)
        if judge is not None and judge.differs:
            self._goes_on(run.differed(self._fault(self._cut[1])), fault, error)
            return True
        if judge is not None and judge.can_repeat:
            run.rescue()
            self.failed(error)
            return True
        run.broken(fault)
        _breakers.has_failed(self._breaker)
        meaning = classify(fault)
        failure = note_broken(error, run.attempts, run.elapsed, meaning)
        if _hearing.registered:
            _hearing.tell(_events.AttemptFailed(self._host, failure.attempts, error, meaning))
            gave_up = _events.GaveUp(self._host, failure.attempts, failure.elapsed, failure.reason, error, meaning)
            _hearing.tell(gave_up)
        return False

    def cut(self) -> tuple[bytes, Exception]:
        """No attempt follows. The server's words of the first cut, and the exception that the caller gets."""
        assert self._cut is not None
        words, error = self._cut
        if self.step.end is not None:
            self.error(self.step.end)
        self.release()
        return words, error

    def succeeded(self) -> None:
        """The caller has a whole answer."""
        if self.judge is not None and self._window is not None:
            self._guard.keep_window(self._host, self.judge.model, self._window)
        run = self._run
        run.succeeded()
        _breakers.moved(self._breaker)
        if run.attempts > 1 and _hearing.registered:
            _hearing.tell(_events.Recovered(self._host, run.attempts, run.elapsed))
        self.release()

    def passed(self) -> None:
        """The caller has an answer that nobody judges, such as a redirect."""
        if self.judge is None:
            self.succeeded()
        self.release()

    def left(self) -> None:
        """The caller reads no further. An answer whose end has come is whole."""
        if self.judge is not None and self.judge.is_over and self._run.attempts:
            self.succeeded()
        else:
            self.release()

    def release(self) -> None:
        """Ends the request: an attempt in flight counts for nothing."""
        self._run.release()
        # A traceback that holds this object would keep the exception alive, and itself.
        self._last = self._cut = None

    def _fault(self, error: Exception) -> Fault:
        fault = read(error)
        response = getattr(error, "response", None)
        if self.judge is None or response is None:
            return fault
        return self.judge.refused(fault, response.content, self._window)
