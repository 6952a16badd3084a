"""Exceptions of the package's own."""

from __future__ import annotations

from typing import Any

from upright._native import Fault


class CircuitOpenError(RuntimeError):
    """A circuit breaker rejected the call: nothing was called.

    `breaker` is the breaker's name. `time_left` is the time until it lets a probe through, in seconds; `None` where it
    was isolated by hand.
    """

    # Its text is made only where somebody reads it: most rejections are counted, and no more.

    @property
    def breaker(self) -> str:
        """Name of the breaker."""
        return str(self.args[0]) if self.args else "circuit"

    @property
    def time_left(self) -> float | None:
        """Time until a probe passes, seconds; `None` where the breaker was isolated by hand."""
        left = self.args[1] if len(self.args) > 1 else 0.0
        return None if left is None else float(left)

    def __str__(self) -> str:
        left = self.time_left
        return "Circuit breaker OPEN. " + ("Reset it to close it" if left is None else f"Recovery in {left:.1f}s")

    def __upright_fault__(self) -> Fault:
        return Fault("circuit_open", str(self), retry_after=self.time_left)


class AnswerError(Exception):
    """A model's answer is cut, empty or unreadable, or belongs to a question of which a part was dropped.

    `fault` has the facts, which outer guards read, too.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault

    def __upright_fault__(self) -> Fault:
        return self.fault


class RejectedResultError(RuntimeError):
    """`accept` rejected all results; the last one is `result`."""

    def __init__(self, result: Any) -> None:
        super().__init__(f"the result was not accepted: {type(result).__name__}")
        self.result = result

    def __upright_fault__(self) -> Fault:
        return Fault("rejected_result", str(self))

    def __reduce__(self) -> tuple[type[RejectedResultError], tuple[Any]]:
        return type(self), (self.result,)
