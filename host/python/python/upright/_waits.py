"""Waits of guards, and their limits of time. A test may take their place."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable
from types import ModuleType
from typing import Any, TypeVar

from upright import _native

T = TypeVar("T")


class Instead:
    """How a test has guards behave: waits are recorded in place of waiting."""

    def __init__(self, waits: list[float]) -> None:
        self.waits = waits
        self.is_off = False
        self.attempts: int | None = None

    def wait(self, delay: float) -> None:
        """Records a wait. The package's clock moves on by it."""
        self.waits.append(delay)
        _native.skip(delay)


instead: Instead | None = None


class AttemptTimeout(TimeoutError):
    """An attempt did not end within its `limit`, in seconds."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"the attempt did not end within {limit:.3f} s")
        self.limit = limit

    def __reduce__(self) -> tuple[type[AttemptTimeout], tuple[float]]:
        return type(self), (self.limit,)


def sleep(delay: float) -> None:
    """Waits in this thread; Ctrl-C ends it."""
    if instead is not None:
        instead.wait(delay)
    elif delay > 0:
        time.sleep(delay)


async def sleep_async(delay: float) -> None:
    """Waits in the loop that runs this task: trio's or asyncio's."""
    if instead is not None:
        instead.wait(delay)
        delay = 0.0
    trio = running_trio()
    if trio is not None:
        await trio.sleep(delay)
    else:
        import asyncio

        await asyncio.sleep(delay)


def running_trio() -> ModuleType | None:
    """Trio, where its loop runs this task."""
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return None
    return trio


async def within(limit: float, awaitable: Awaitable[T]) -> T:
    """The result of an awaitable, or `AttemptTimeout` where it does not end within `limit` seconds."""
    trio = running_trio()
    if trio is not None:
        with trio.move_on_after(limit):
            return await awaitable
        raise AttemptTimeout(limit)
    return await _within_asyncio(limit, awaitable)


if sys.version_info >= (3, 11):

    async def _within_asyncio(limit: float, awaitable: Awaitable[T]) -> T:
        import asyncio

        try:
            async with asyncio.timeout(limit) as scope:
                return await awaitable
        except TimeoutError:
            if not scope.expired():
                raise
        raise AttemptTimeout(limit)

else:

    async def _within_asyncio(limit: float, awaitable: Awaitable[T]) -> T:
        import asyncio

        async def settled() -> tuple[Any, asyncio.TimeoutError | None]:
            # A time limit of the operation's own is not this one.
            try:
                return await awaitable, None
            except asyncio.TimeoutError as error:
                return None, error

        try:
            result, error = await asyncio.wait_for(settled(), limit)
        except asyncio.TimeoutError:
            raise AttemptTimeout(limit) from None
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]
