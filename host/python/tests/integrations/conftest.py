"""Waits of all libraries, replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest


class Waits(list[float]):
    """The waits that would have been, in seconds. `then` runs at the first of them."""

    then: Callable[[], object] | None = None

    def wait(self, delay: float) -> None:
        """Takes the place of a wait."""
        self.append(delay)
        then, self.then = self.then, None
        if then is not None:
            then()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Replaces `time.sleep` and `asyncio.sleep`."""
    waits, sleep_async = Waits(), asyncio.sleep

    async def sleep(delay: float, result: Any = None) -> Any:
        if delay > 0:
            waits.wait(delay)
        return await sleep_async(0, result)

    monkeypatch.setattr(time, "sleep", waits.wait)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waits
