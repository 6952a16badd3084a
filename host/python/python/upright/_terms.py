"""The terms under which a function is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from upright._errors import RejectedResultError
from upright._facts import is_pass_through
from upright._log import logger

if TYPE_CHECKING:
    from upright.error_recovery import RetryStrategy

ErrorTypes: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]
"""One type of exceptions, or several."""

On: TypeAlias = ErrorTypes | Callable[[Exception], object]
"""The exceptions that may be retried: types, or a predicate."""


class Terms:
    """The terms of one guarded function. They are never changed."""

    __slots__ = ("_on", "_pass_through", "accept", "fallback", "name", "observe", "strategy")

    def __init__(
        self,
        strategy: RetryStrategy,
        fallback: object = None,
        *,
        name: str = "operation",
        accept: Callable[[Any], object] | None = None,
        on: On | None = None,
        pass_through: ErrorTypes = (),
        observe: Callable[[Exception], object] | None = None,
    ) -> None:
        self.strategy = strategy
        self.fallback = fallback
        self.name = name
        self.accept = accept
        self.observe = observe
        self._on = on
        self._pass_through = pass_through

    def passes(self, error: Exception) -> bool:
        """Whether an exception is control flow, which no guard handles."""
        return isinstance(error, self._pass_through) or is_pass_through(error)

    def may_retry(self, error: Exception) -> bool:
        """Whether `on` allows a retry. The policy may still refuse one."""
        on = self._on
        if on is None or isinstance(error, RejectedResultError):
            return True
        if isinstance(on, (type, tuple)):
            return isinstance(error, on)
        try:
            return bool(on(error))
        except Exception:
            logger.exception("the predicate %r failed: no retry follows", on)
            return False


def observed(
    strategy: RetryStrategy,
    fallback: object,
    observer: Callable[[Exception, Callable[..., Any]], object],
    func: Callable[..., Any],
) -> Terms:
    """The terms of one operation, each of whose failed attempts `observer` hears of."""
    return Terms(strategy, fallback, observe=lambda error: observer(error, func))
