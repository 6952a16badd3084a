"""The plugin for pytest, which has the fixture `upright_instantly`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from upright.testing import Instantly


@pytest.fixture
def upright_instantly() -> Iterator[Instantly]:
    """No guard waits in the test: the list of waits that would have been, with `.off()` and `.attempts(n)`."""
    from upright.testing import instantly

    with instantly() as waits:
        yield waits
