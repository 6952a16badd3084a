"""Log records of what the guards do. Their texts and levels are those of the specification's own implementation."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upright._native import Breaker, Classification, Run, Step, Strategy

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
    try:
        copied = copy.copy(error)
    except Exception:
        return error
    if type(copied) is not type(error):
        return error
    copied.__traceback__ = copied.__cause__ = copied.__context__ = None
    return copied


def classified(error: Exception, meaning: Classification) -> None:
    """An exception was classified."""
    message = "Classified error: %s -> %s (severity: %s, retryable: %s)"
    logger.warning(message, type(error).__name__, meaning.category, meaning.severity, meaning.retryable)
    logger.info("Suggested action: %s", meaning.suggestion)


def attempt_failed(strategy: Strategy, run: Run, step: Step, error: Exception) -> None:
    """An attempt failed, and this step follows."""
    if not logger.isEnabledFor(logging.ERROR):
        return
    made = run.attempts
    if step.kind == "wait":
        message = "Attempt %d/%d failed: %s. Retrying in %.2fs..."
        logger.warning(message, made, strategy._max_retries + 1, text(error), step.delay)
    elif step.end is not None:
        logger.error("Failed after %d attempts: %s", made, text(error), exc_info=error)


def falls_back() -> None:
    """The fallback runs."""
    logger.info("Executing fallback function")


def fallback_failed(error: Exception) -> None:
    """The fallback failed."""
    logger.error("Fallback also failed: %s", text(error))


def breaker_moved(before: str, breaker: Breaker) -> None:
    """A breaker may have left a phase."""
    after = breaker.phase
    if before == after:
        return
    if after == "open" and before == "half_open":
        logger.warning("Circuit opened: recovery failed")
    elif after == "open":
        logger.warning("Circuit opened: %d failures exceeded threshold", breaker.failures)
    elif after == "closed":
        logger.info("Circuit closed: service recovered")
