"""Tests of programs that use guards: without waiting, with few attempts, or without guards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upright import _native, _waits

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Instantly", "instantly"]


class Instantly(list[float]):
    """The waits that guards would have made, in seconds, in order. No guard of the process waits in its block.

    The package's clock moves on by each wait, so deadlines pass and breakers half-open as they would.
    """

    def __init__(self) -> None:
        super().__init__()
        self._instead = _waits.Instead(self)
        self._outer: list[_waits.Instead | None] = []

    def off(self) -> Self:
        """Turns all guards off: each function is called once, and its result or exception comes out as it is."""
        self._instead.is_off = True
        return self

    def attempts(self, most: int) -> Self:
        """Lets every operation make at most this many attempts, from 1, whatever its guard says."""
        if most < 1:
            raise ValueError(f"attempts is {most}; expected a number of attempts, 1 or more")
        self._instead.attempts = most
        return self

    def skip(self, seconds: float) -> None:
        """Moves the package's clock on, as if this time had passed: an open breaker half-opens."""
        _native.skip(seconds)

    def __enter__(self) -> Self:
        self._outer.append(_waits.instead)
        _waits.instead = self._instead
        return self

    def __exit__(self, *_: object) -> None:
        _waits.instead = self._outer.pop()


def instantly() -> Instantly:
    """A block in which no guard waits: `with upright.testing.instantly() as waits: ...`.

    `waits` is the list of waits that would have been. `.off()` and `.attempts(n)` change how guards behave.
    """
    return Instantly()
