"""Fixtures of the tests of guards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import upright
from upright.hooks import Event
from upright.testing.plugin import upright_instantly

__all__ = ["upright_instantly"]


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """The events of the test."""
    seen: list[Event] = []
    upright.add_hook(seen.append)
    yield seen
    upright.remove_hook(seen.append)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of a breaker that no other test has."""
    return str(request.node.nodeid)
