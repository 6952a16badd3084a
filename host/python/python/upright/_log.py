"""Log records of what the guards do. Their texts and levels are those of the specification's own implementation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from upright._native import Breaker, Run, Step, Strategy

logger = logging.getLogger("upright")


def text(error: BaseException) -> str:
    """The text of an exception, also of one whose `__str__` fails."""
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} without a text>"


def name_of(func: Callable[..., Any]) -> str:
    """The name of anything that can be called."""
    return getattr(func, "__name__", type(func).__name__)


def without_traceback(error: Exception) -> Exception:
    """A copy of an exception that keeps no frames alive; the exception itself where it cannot be copied.

    The interpreter's own class makes the copy: an `__init__` of another class may want other arguments.
    """
    kind = own = type(error)
    while own.__module__ != "builtins":
        own = cast("type[Exception]", own.__base__)
    try:
        _, arguments, *state = cast("tuple[Any, ...]", own.__reduce__(error))
        copied = own.__new__(kind, *arguments)
        own.__init__(copied, *arguments)
        if state:
            copied.__setstate__(state[0])
    except Exception:
        return error
    return copied


def classified(error: Exception, category: str, severity: str, retryable: bool, suggestion: str) -> None:
    """An exception was classified."""
    if logger.isEnabledFor(logging.WARNING):
        message = "Classified error: %s -> %s (severity: %s, retryable: %s)"
        logger.warning(message, type(error).__name__, category, severity, retryable)
        logger.info("Suggested action: %s", suggestion)


def attempt_failed(strategy: Strategy, run: Run, step: Step, error: Exception) -> None:
    """An attempt failed, and this step follows."""
    if not logger.isEnabledFor(logging.ERROR):
        return
    made = run.attempts
    if step.kind == "wait":
        message = "Attempt %d/%d failed: %s. Retrying in %.2fs..."
        logger.warning(message, made, strategy._max_retries + 1, text(error), step.delay)
    elif step.end is not None:
        # Without the traceback: the exception itself has it, or a fallback serves.
        logger.error("Failed after %d attempts: %s", made, text(error))


def falls_back() -> None:
    """The fallback runs."""
    logger.info("Executing fallback function")


def fallback_failed(error: Exception) -> None:
    """The fallback failed."""
    logger.error("Fallback also failed: %s", text(error))


def breaker_moved(before: str, after: str, breaker: Breaker) -> None:
    """A breaker went from one phase to another."""
    if after == "open" and before == "half_open":
        logger.warning("Circuit opened: recovery failed")
    elif after == "open":
        logger.warning("Circuit opened: %d failures exceeded threshold", breaker._failure_threshold)
    elif after == "half_open":
        logger.info("Circuit half-open: attempting recovery")
    else:
        logger.info("Circuit closed: service recovered")
