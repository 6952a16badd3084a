"""Exceptions of the package's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upright._native import Fault


class CircuitOpenError(RuntimeError):
    """A circuit breaker rejected the call: nothing was called.

    `breaker` is the breaker's name. `time_left` is the time until it lets a probe through, in seconds; `None` where it
    was isolated by hand.
    """

    def __init__(self, breaker: str = "circuit", time_left: float | None = 0.0) -> None:
        wait = "Reset it to close it" if time_left is None else f"Recovery in {time_left:.1f}s"
        super().__init__(f"Circuit breaker OPEN. {wait}")
        self.breaker = breaker
        self.time_left = time_left

    def __reduce__(self) -> tuple[type[CircuitOpenError], tuple[str, float | None]]:
        return type(self), (self.breaker, self.time_left)


class AnswerError(Exception):
    """A model's answer is cut, empty or unreadable, or belongs to a question of which a part was dropped.

    `fault` has the facts, which outer guards read, too.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault

    def __upright_fault__(self) -> Fault:
        return self.fault
