"""Shared by the modules for other libraries: the options of guards, and guards by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict

import upright
from upright._terms import ErrorTypes, On

if TYPE_CHECKING:
    from upright import CircuitBreaker, PolicySlot, RetryStrategy

Failed: TypeAlias = Callable[[Exception, str], None]
"""Hears of each failed attempt, and of the name that it was for."""


HINTS = ("readOnlyHint", "idempotentHint", "read_only_hint", "idempotent_hint")
"""Annotations of MCP that say that a tool may be called again. Names differ by the version."""


class GuardOptions(TypedDict, total=False):
    """Options of `upright.guard`, which says what they mean."""

    max_retries: int
    base_delay: float
    max_delay: float
    backoff_factor: float
    jitter: bool
    deadline: float | None
    attempt_timeout: float | None
    breaker: str | CircuitBreaker | None
    on: On | None
    pass_through: ErrorTypes
    policy: PolicySlot | None
    strategy: RetryStrategy | None


class Guards(NamedTuple):
    """Guards of one name: each calls a function with one argument. They share a breaker."""

    call: Callable[[Callable[[Any], Any], Any], Any]
    await_: Callable[[Callable[[Any], Awaitable[Any]], Any], Awaitable[Any]]
    await_once: Callable[[Callable[[Any], Awaitable[Any]], Any], Awaitable[Any]]
    """Retries nothing."""


class ByName:
    """Guards by name. They have the same options, but a circuit breaker each, with the settings of the options' own."""

    def __init__(
        self,
        options: GuardOptions,
        *,
        accept: Callable[[Any], object] | None = None,
        failed: Failed | None = None,
    ) -> None:
        self._options = options
        self._accept = accept
        self._failed = failed
        self._guards: dict[str, Guards] = {}
        self._lock = Lock()

    def of(self, name: str) -> Guards:
        """The guards of a name, which the log and hooks show as the operation."""
        with self._lock:
            guards = self._guards.get(name)
            if guards is None:
                guards = self._guards[name] = self._made(name)
            return guards

    def _made(self, name: str) -> Guards:
        def call(func: Callable[[Any], Any], argument: Any) -> Any:
            try:
                return func(argument)
            except Exception as error:
                self._tell(error, name)
                raise

        async def await_(func: Callable[[Any], Awaitable[Any]], argument: Any) -> Any:
            try:
                return await func(argument)
            except Exception as error:
                self._tell(error, name)
                raise

        call.__qualname__ = await_.__qualname__ = name
        decorate = upright.guard(**self._options, accept=self._accept)
        one, other = decorate(call), decorate(await_)
        like = one.breaker
        if like is not None:
            own = upright.CircuitBreaker._of(name, like._settings, like._policy)
            one, other = one.with_options(breaker=own), other.with_options(breaker=own)
        return Guards(one, other, other.with_options(max_retries=0))

    def _tell(self, error: Exception, name: str) -> None:
        if self._failed is not None:
            self._failed(error, name)
