"""The part of circuit breakers that is not native: blocks under a breaker, reports, and the registry of names."""

from __future__ import annotations

import atexit
import time
from collections.abc import Awaitable
from contextvars import ContextVar
from os import PathLike, fspath
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from upright import _hearing, _log, _waits
from upright._facts import is_pass_through, read
from upright._native import Breaker, Permit, PolicySlot, State

if TYPE_CHECKING:
    from upright.error_recovery import CircuitBreaker


class _Entry(NamedTuple):
    """A block under a breaker that this context is in. Without a permit, guards were off."""

    breaker: Breaker
    permit: Permit | None
    outer: _Entry | None


_entered: ContextVar[_Entry | None] = ContextVar("upright_breakers", default=None)


class Blocks:
    """Makes a breaker the guard of blocks: `with breaker:` and `async with breaker:`, in any number at once."""

    __slots__ = ()

    def __enter__(self) -> None:
        assert isinstance(self, Breaker)
        test = _waits.instead
        permit = None
        if test is None or not test.is_off:
            try:
                permit = self.admit()
            finally:
                moved(self)
        _entered.set(_Entry(self, permit, _entered.get()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert isinstance(self, Breaker)
        permit = _leave(self)
        if permit is None:
            return
        if error is None:
            succeeded(self, permit)
        elif isinstance(error, Exception):
            failed(self, permit, error)
        else:
            permit.release()

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def _leave(breaker: Breaker) -> Permit | None:
    """Leaves the innermost block under this breaker. Generators may leave their blocks in any order."""
    inner: list[_Entry] = []
    entry = _entered.get()
    while entry is not None and entry.breaker is not breaker:
        inner.append(entry)
        entry = entry.outer
    if entry is None:
        return None
    outer = entry.outer
    for other in reversed(inner):
        outer = other._replace(outer=outer)
    _entered.set(outer)
    return entry.permit


def moved(breaker: Breaker | None) -> None:
    """Reports the breaker's phase to the log and to hooks where it is another one than at the last question."""
    if breaker is None or (phases := breaker._moved()) is None:
        return
    before, after = phases
    _log.breaker_moved(before, after, breaker)
    if _hearing.registered:
        from upright import _events

        _hearing.tell(_events.BreakerMoved(breaker.name, before, after))


def has_failed(breaker: Breaker | None) -> None:
    """A call failed, of which the breaker has heard already."""
    if breaker is not None:
        breaker._failed_at(time.time())
        moved(breaker)


def succeeded(breaker: Breaker, permit: Permit) -> None:
    """Reports the success of a call that a breaker admitted."""
    permit.succeeded()
    moved(breaker)


def failed(breaker: Breaker, permit: Permit, error: Exception) -> None:
    """Reports the failure of a call that a breaker admitted."""
    if is_pass_through(error):
        permit.release()
        return
    permit.failed(read(error))
    has_failed(breaker)


async def watched(breaker: Breaker, permit: Permit, awaitable: Awaitable[Any]) -> Any:
    """Reports the outcome of a coroutine that a breaker admitted."""
    try:
        result = await awaitable
    except Exception as error:
        failed(breaker, permit, error)
        raise
    except BaseException:
        permit.release()
        raise
    succeeded(breaker, permit)
    return result


_named: dict[str, CircuitBreaker] = {}
_lock = Lock()


def breaker(
    name: str,
    *,
    failure_threshold: int | None = None,
    recovery_timeout: float | None = None,
    success_threshold: int | None = None,
    half_open_permits: int | None = None,
    failure_window: float | None = None,
    failure_rate_threshold: float | None = None,
    minimum_calls: int | None = None,
    slow_call_duration: float | None = None,
    policy: PolicySlot | None = None,
    state: State | str | PathLike[str] | None = None,
) -> CircuitBreaker:
    """The circuit breaker of this name; all of the process share it: `with upright.breaker("index"): ...`.

    The first call makes it. By default it opens after 5 failures in a row (`failure_threshold`). It also opens where a
    share of the calls fails (`failure_rate_threshold` of at least `minimum_calls`, in `failure_window` seconds). It rejects
    calls for 60 s (`recovery_timeout`), then lets `half_open_permits` probes through at a time, and closes after
    `success_threshold` successes. A call slower than `slow_call_duration` seconds counts as slow.

    `policy` is the slot whose policy decides. `state` is a `State`, or the address of one: a file's path, or
    `:memory:`. It keeps the breaker's phase under the name: every program of this machine that names the same state
    shares it, and the next one begins with it. A `State` serves any number of breakers.

    Raises `ValueError` for a setting that cannot be used, or that is another one than the breaker has. Raises `OSError`
    for a state that cannot be opened.
    """
    given: dict[str, Any] = {
        "failure_threshold": failure_threshold,
        "recovery_timeout": recovery_timeout,
        "success_threshold": success_threshold,
        "half_open_permits": half_open_permits,
        "failure_window": failure_window,
        "failure_rate_threshold": failure_rate_threshold,
        "minimum_calls": minimum_calls,
        "slow_call_duration": slow_call_duration,
    }
    given = {setting: value for setting, value in given.items() if value is not None}
    found = _named.get(name) or _made(name, given, policy, state)
    for setting, value in given.items():
        if found._settings[setting] != value:
            raise ValueError(
                f"the breaker {name!r} has {setting}={found._settings[setting]}; expected the same, and not {value}"
            )
    if policy is not None and policy is not found._policy:
        raise ValueError(f"the breaker {name!r} has policy={found._policy}; expected the same slot, and not {policy}")
    kept = None if found._store is None else found._store.address
    if state is not None and _address(state) != kept:
        raise ValueError(f"the breaker {name!r} has state={kept!r}; expected the same, and not {_address(state)!r}")
    return found


def _address(state: State | str | PathLike[str]) -> str:
    return state.address if isinstance(state, State) else fspath(state)


def _opened(state: State | str | PathLike[str] | None) -> State | None:
    if state is None or isinstance(state, State):
        return state
    opened = State(fspath(state))
    # Writes what waits.
    atexit.register(opened.close)
    return opened


def _made(
    name: str, given: dict[str, Any], policy: PolicySlot | None, state: State | str | PathLike[str] | None
) -> CircuitBreaker:
    from upright.error_recovery import CircuitBreaker

    with _lock:
        if name not in _named:
            made = CircuitBreaker._of(name, given, policy, _opened(state))
            made._is_named = True
            _named[name] = made
        return _named[name]


def again(
    name: str, settings: dict[str, Any], saved: str, policy: PolicySlot | None, address: str | None
) -> CircuitBreaker:
    """The breaker of a name that was pickled: the process's own where it has one, else one in this state."""
    known = _named.get(name)
    if known is None:
        known = _made(name, settings, policy, address)
        if address is None:
            known._restore(saved)
    return known
