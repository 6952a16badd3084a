"""The record of a failed operation, kept with the exception that its caller gets."""

from __future__ import annotations

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
    failure = Failure(end.attempts, end.elapsed, end.reason, end.classification)
    if failure_of(error) is not None:
        return
    try:
        setattr(error, _NAME, failure)
        if hasattr(error, "add_note"):
            error.add_note(str(failure))
    except Exception:
        # An exception may refuse attributes: it goes to the caller as it is.
        return
