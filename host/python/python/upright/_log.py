"""Log records of what the guards do. Their texts and levels are those of the specification's own implementation."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    """A copy of an exception that keeps no frames alive; the exception itself where it cannot be copied."""
    kind = type(error)
    try:
        reduced = error.__reduce__()
        if kind.__module__ == "builtins" and len(reduced) == 2:
            # As `copy` does it, without asking around.
            copied: Exception = kind(*reduced[1])
        else:
            copied = copy.copy(error)
            copied.__traceback__ = copied.__cause__ = copied.__context__ = None
    except Exception:
        return error
    return copied if type(copied) is kind else error


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
