"""The code in docs/python.md and docs/python-migration.md runs."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import upright

DOCS = Path(__file__).resolve().parents[3] / "docs"
PEERS = ("tenacity", "stamina", "backoff", "pybreaker")


def blocks(name: str) -> list[tuple[str, str]]:
    """The Python blocks of a page, each with its heading."""
    found, heading, lines = [], "", iter((DOCS / name).read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("#"):
            heading = line.strip("# ")
            if line == "## LangChain, LangGraph and MCP":
                # The tests of the integrations run these blocks, which need their libraries.
                break
        elif line == "```python":
            code: list[str] = []
            for inner in lines:
                if inner == "```":
                    break
                code.append(inner)
            found.append((heading, "\n".join(code)))
    return found


class Client:
    """A client of a model whose server fails at its first calls."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def chat(self, prompt: str) -> str:
        """The answer to a prompt."""
        if self.failures:
            self.failures -= 1
            raise ConnectionRefusedError(111, "Connection refused")
        return "whole"

    async def chat_async(self, prompt: str) -> str:
        """The answer to a prompt, awaited."""
        return self.chat(prompt)

    search = chat


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No loop waits, of whatever library."""
    monkeypatch.setattr(time, "sleep", lambda delay: None)
    with upright.testing.instantly():
        yield


STARTED = blocks("python.md")


@pytest.mark.parametrize(("heading", "code"), STARTED, ids=[f"{number}-{block[0]}" for number, block in enumerate(STARTED)])
def test_a_block_of_the_page_on_python_runs(
    heading: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any(re.search(rf"^(import|from) {peer}\b", code, re.MULTILINE) and importlib.util.find_spec(peer) is None for peer in (*PEERS, "ollama", "openai", "httpx", "langchain_ollama")):
        pytest.skip("a library that the block shows is not installed")
    monkeypatch.chdir(tmp_path)
    component = (DOCS.parent / "host/runtime/policy.wasm").read_bytes()
    for name in ("mine.wasm", "next.wasm"):
        Path(name).write_bytes(component)
    client = Client(0 if "breaker(" in code else 2)
    scope: dict[str, Any] = {"client": client, "ask": upright.guard(client.chat)}
    exec(compile(code, f"python.md, {heading}", "exec"), scope)
    if "def test_" in code:
        next(value for name, value in scope.items() if name.startswith("test_"))()
    elif "def ask" in code:
        answered = scope["ask"]("Why is the sky blue?")
        assert (asyncio.run(answered) if asyncio.iscoroutine(answered) else answered) == "whole"


MIGRATED = [(one[0], one[1], other[1]) for one, other in zip(*[iter(blocks("python-migration.md"))] * 2)]


def calls(code: str, failures: int) -> tuple[int, str]:
    """Number of calls of the service, and how it ended, over two operations."""
    made, left = 0, failures

    def service() -> str:
        nonlocal made, left
        made += 1
        if left:
            left -= 1
            raise ConnectionRefusedError(111, "Connection refused")
        return "whole"

    scope: dict[str, Any] = {"service": service}
    exec(code, scope)
    ends = []
    for _ in range(2):
        try:
            ends.append(scope["work"]())
        except Exception as error:
            ends.append("refused" if isinstance(error, ConnectionRefusedError) else "rejected")
    return made, ", ".join(ends)


@pytest.mark.parametrize(("heading", "before", "after"), MIGRATED, ids=[block[0] for block in MIGRATED])
@pytest.mark.parametrize("failures", range(6))
def test_both_blocks_of_a_migration_make_the_same_calls(heading: str, before: str, after: str, failures: int) -> None:
    peer = next(peer for peer in PEERS if f"import {peer}" in before)
    pytest.importorskip(peer)
    fresh: Callable[[str], str] = lambda code: code.replace('"service"', f'"{heading} {failures}"')  # noqa: E731
    assert calls(fresh(before), failures) == calls(fresh(after), failures)


def test_the_page_on_migration_has_a_pair_for_each_peer() -> None:
    assert [heading for heading, *_ in MIGRATED] == ["tenacity", "tenacity", "stamina", "backoff", "pybreaker"]
