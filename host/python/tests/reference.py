"""A small model of the specification's own implementation, for tests that compare the package with it.

It has the reference's rules, its retry loop and its breaker, without waiting: delays are recorded.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

_RETRYABLE_TEXTS = ("rate limit", "429", "500", "502", "503", "504")


def rule_of(error: Exception) -> tuple[str, str, bool]:
    """Category, severity and whether the reference retries, by the first of its rules that fits."""
    text = str(error).lower()
    rules: list[tuple[bool, tuple[str, str, bool]]] = [
        (isinstance(error, (ConnectionError, requests.ConnectionError)), ("connection", "high", True)),
        (isinstance(error, (TimeoutError, requests.Timeout)), ("timeout", "medium", True)),
        (isinstance(error, MemoryError) or "out of memory" in text, ("resource", "critical", False)),
        (isinstance(error, OSError) and "disk" in text, ("resource", "high", False)),
        ("model not found" in text or "404" in text, ("permanent", "high", False)),
        (any(part in text for part in _RETRYABLE_TEXTS), ("transient", "medium", True)),
        (isinstance(error, PermissionError), ("permanent", "high", False)),
        (isinstance(error, (ValueError, TypeError)), ("permanent", "low", False)),
    ]
    return next((meaning for fits, meaning in rules if fits), ("unknown", "medium", False))


@dataclass
class Breaker:
    """The reference's breaker, by a clock that the test turns."""

    failure_threshold: int = 5
    recovery_timeout: float = 60.0
    success_threshold: int = 2
    state: str = "closed"
    failure_count: int = 0
    success_count: int = 0
    failed_at: float = 0.0
    now: float = 0.0
    opened_by: Exception | None = None

    def call(self, func: Callable[[], Any]) -> Any:
        """Calls a function unless the breaker is open."""
        if self.state == "open":
            if self.now - self.failed_at < self.recovery_timeout:
                raise RuntimeError("Circuit breaker OPEN")
            self.state, self.success_count = "half_open", 0
        try:
            result = func()
        except Exception as error:
            self.failure_count += 1
            self.failed_at = self.now
            if self.state == "half_open" or self.failure_count >= self.failure_threshold:
                self.state, self.opened_by = "open", error
            raise
        if self.state == "half_open":
            self.success_count += 1
            if self.success_count >= self.success_threshold:
                self.state, self.failure_count, self.success_count = "closed", 0, 0
        else:
            self.failure_count = 0
        return result


@dataclass
class Retry:
    """The reference's retry loop. `waits` are the delays, in seconds, that it would have slept."""

    max_retries: int = 3
    base_delay: float = 1.0
    max_delay: float = 60.0
    backoff_factor: float = 2.0
    jitter: bool = False
    breaker: Breaker | None = None
    waits: list[float] = field(default_factory=list)

    def delay(self, attempt: int) -> float:
        """The delay after this attempt, from 0."""
        delay = min(self.base_delay * self.backoff_factor**attempt, self.max_delay)
        return delay * random.uniform(0.8, 1.2) if self.jitter else delay

    def execute(self, func: Callable[[], Any], fallback: Callable[[], Any] | None = None) -> Any:
        """Calls a function with retries, then its fallback."""
        for attempt in range(self.max_retries + 1):
            try:
                return self.breaker.call(func) if self.breaker else func()
            except Exception as error:
                if not rule_of(error)[2] or attempt >= self.max_retries:
                    if fallback is None:
                        raise
                    try:
                        return fallback()
                    except Exception:
                        raise error from None
                self.waits.append(self.delay(attempt))
        raise AssertionError("the loop returns or raises")
