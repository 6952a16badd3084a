"""Operations that fail by plan."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any


def refused() -> ConnectionRefusedError:
    """The exception of a connection that nobody accepts."""
    return ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


class Plan:
    """A function that fails a number of times and then gives a value. It keeps the arguments of its calls."""

    def __init__(self, failures: int, value: Any = "answer", error: Callable[[], BaseException] = refused) -> None:
        self.failures = failures
        self.value = value
        self.error = error
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        if len(self.calls) <= self.failures:
            raise self.error()
        return self.value

    async def awaited(self, /, *args: Any, **kwargs: Any) -> Any:
        """The same, as a coroutine function."""
        return self(*args, **kwargs)

    @property
    def count(self) -> int:
        """Number of calls."""
        return len(self.calls)
