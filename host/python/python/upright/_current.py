"""The state of this context: the attempt in progress, and the settings that a scope changes."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any

from upright._native import Attempt, Run, Strategy

current: ContextVar[Attempt | None] = ContextVar("upright_attempt", default=None)
changes: ContextVar[Mapping[str, Any] | None] = ContextVar("upright_override", default=None)

_first: Attempt | None = None


def current_attempt() -> Attempt:
    """The attempt in progress: its `number` from 1, its `time_left` in seconds.

    Threads and tasks have their own. Outside of a guard it is a first attempt, so a caller needs no case of its own.
    """
    global _first
    attempt = current.get()
    if attempt is None:
        attempt = _first = _first or Run(Strategy()).admit().attempt
        assert attempt is not None
    return attempt


def leave(token: Token[Attempt | None]) -> None:
    """Puts the attempt before back, unless another context has taken over, as in a generator that moves."""
    try:
        token.var.reset(token)
    except ValueError:
        token.var.set(None)


class override:
    """Changes the settings of all guards in a scope, also far below: `with upright.override(max_retries=0): ...`.

    Threads and tasks have scopes of their own. An inner scope adds to an outer one. Delays are seconds. A call that is
    under way keeps its settings. Raises `ValueError` for a setting that cannot be used.
    """

    def __init__(
        self,
        *,
        max_retries: int | None = None,
        base_delay: float | None = None,
        max_delay: float | None = None,
        backoff_factor: float | None = None,
        jitter: bool | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "max_retries": max_retries,
            "base_delay": base_delay,
            "max_delay": max_delay,
            "backoff_factor": backoff_factor,
            "jitter": jitter,
        }
        self._changes = {name: value for name, value in given.items() if value is not None}
        # Refused here, and not where a call has failed.
        Strategy()._changed(**self._changes)
        self._tokens: list[Token[Mapping[str, Any] | None]] = []

    def __enter__(self) -> None:
        self._tokens.append(changes.set({**(changes.get() or {}), **self._changes}))

    def __exit__(self, *_: object) -> None:
        changes.reset(self._tokens.pop())
