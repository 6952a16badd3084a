"""The events of guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from upright._native import Classification


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt failed. `attempt` is its number, from 1."""

    operation: str
    attempt: int
    error: BaseException
    classification: Classification


@dataclass(frozen=True)
class RetryScheduled:
    """The attempt of this number follows after a delay, in seconds."""

    operation: str
    attempt: int
    delay: float


@dataclass(frozen=True)
class Recovered:
    """An operation succeeded after failures. `elapsed` is the time since the first attempt began, in seconds."""

    operation: str
    attempts: int
    elapsed: float


@dataclass(frozen=True)
class GaveUp:
    """An operation failed. `reason` says why no other attempt followed; `elapsed` is in seconds.

    `classification` is the meaning of the last failure; `None` where no attempt was made.
    """

    operation: str
    attempts: int
    elapsed: float
    reason: str
    error: BaseException
    classification: Classification | None


@dataclass(frozen=True)
class FallbackUsed:
    """A fallback serves. `reason` says why no other attempt followed; `elapsed` is in seconds."""

    operation: str
    attempts: int
    elapsed: float
    reason: str


@dataclass(frozen=True)
class BreakerMoved:
    """A breaker went from one phase to another: `closed`, `open` or `half_open`."""

    breaker: str
    before: str
    after: str


Event: TypeAlias = AttemptFailed | RetryScheduled | Recovered | GaveUp | FallbackUsed | BreakerMoved
"""An event of a guard."""

Hook: TypeAlias = Callable[[Event], object]
"""A function that hears of events."""
