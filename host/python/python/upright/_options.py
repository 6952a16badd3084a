"""The options of guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from upright import _breakers
from upright._native import PolicySlot
from upright._terms import ErrorTypes, On, Terms
from upright.error_recovery import CircuitBreaker, RetryStrategy

_OF_STRATEGIES = (
    "max_retries",
    "base_delay",
    "max_delay",
    "backoff_factor",
    "jitter",
    "deadline",
    "attempt_timeout",
    "breaker",
    "idempotent",
    "policy",
)


@dataclass(frozen=True)
class Options:
    """The options of a guard; `upright.guard` says what they mean."""

    max_retries: int = 3
    base_delay: float = 1.0
    max_delay: float = 60.0
    backoff_factor: float = 2.0
    jitter: bool = True
    deadline: float | None = None
    attempt_timeout: float | None = None
    breaker: str | CircuitBreaker | None = None
    fallback: object = None
    accept: Callable[[Any], object] | None = None
    on: On | None = None
    pass_through: ErrorTypes = ()
    idempotent: bool = True
    policy: PolicySlot | None = None
    restart: bool = False
    strategy: RetryStrategy | None = None

    def __post_init__(self) -> None:
        if self.strategy is None:
            return
        given = [name for name in _OF_STRATEGIES if getattr(self, name) != _DEFAULTS[name]]
        if given:
            raise TypeError(
                f"strategy and {', '.join(given)} were given; expected one of them, since a strategy has its own"
            )

    def changed(self, changes: dict[str, Any]) -> Options:
        """These options with some others. A breaker stays shared."""
        unknown = changes.keys() - _DEFAULTS.keys()
        if unknown:
            raise TypeError(f"unknown options: {', '.join(sorted(unknown))}; expected some of {', '.join(_DEFAULTS)}")
        strategy = self.strategy
        if strategy is None or "strategy" in changes or not changes.keys() & set(_OF_STRATEGIES):
            if changes.get("strategy") is not None:
                changes = {**{name: _DEFAULTS[name] for name in _OF_STRATEGIES}, **changes}
            return replace(self, **changes)
        return replace(self, **{**strategy._options(), "strategy": None, **changes})

    def terms(self, name: str) -> Terms:
        """The terms of a function or loop of this name. Raises `ValueError` for a setting that cannot be used."""
        return Terms(
            self._strategy(name),
            self.fallback,
            name=name,
            accept=self.accept,
            on=self.on,
            pass_through=self.pass_through,
        )

    def _strategy(self, name: str) -> RetryStrategy:
        if self.strategy is not None:
            return self.strategy
        return RetryStrategy._of(
            max_retries=self.max_retries,
            base_delay=self.base_delay,
            max_delay=self.max_delay,
            backoff_factor=self.backoff_factor,
            jitter=self.jitter,
            breaker=_breakers.breaker(self.breaker) if isinstance(self.breaker, str) else self.breaker,
            policy=self.policy,
            more={
                "name": name,
                "deadline": self.deadline,
                "attempt_timeout": self.attempt_timeout,
                "idempotent": self.idempotent,
            },
        )


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Options)}
