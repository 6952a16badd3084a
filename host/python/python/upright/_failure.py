"""The record of a failed operation, kept with the exception that its caller gets."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upright._native import Classification, End

_NAME = "__upright_failure__"


@dataclass(frozen=True)
class Failure:
    """How an operation failed.

    `attempts` is the number of attempts, over all models. `elapsed` is the time since the first began, in seconds.
    `reason` says why no other attempt followed, such as `attempts_exhausted`. `classification` is the meaning of the last
    failure; `None` where no attempt was made.
    """

    attempts: int
    elapsed: float
    reason: str
    classification: Classification | None

    def __str__(self) -> str:
        times = "attempt" if self.attempts == 1 else "attempts"
        rule = f" (rule {self.classification.rule}). {self.classification.suggestion}" if self.classification else ""
        return f"upright: gave up after {self.attempts} {times} in {self.elapsed:.1f} s: {self.reason.replace('_', ' ')}{rule}"


def failure_of(error: BaseException) -> Failure | None:
    """How the operation failed that raised this exception; `None` where no guard gave it up."""
    failure = getattr(error, _NAME, None)
    return failure if isinstance(failure, Failure) else None


def note(error: BaseException, end: End) -> None:
    """Adds a note on the operation's end to its exception, once however many guards it passes."""
    if failure_of(error) is None:
        _keep(error, Failure(end.attempts, end.elapsed, end.reason, end.classification))


def note_broken(error: BaseException, attempts: int, elapsed: float, classification: Classification) -> Failure:
    """Adds a note that no retry follows, since items are out already."""
    failure = Failure(attempts, elapsed, "first_item_is_out", classification)
    if failure_of(error) is None:
        _keep(error, failure)
    return failure


def say(error: BaseException, text: str) -> None:
    """Adds a note to an exception, from Python 3.11 on."""
    if sys.version_info >= (3, 11):
        error.add_note(text)


def _keep(error: BaseException, failure: Failure) -> None:
    try:
        setattr(error, _NAME, failure)
        say(error, str(failure))
    except Exception:
        # An exception may refuse attributes: it goes to the caller as it is.
        return
