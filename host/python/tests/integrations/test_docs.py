"""The programs of the section on LangChain, LangGraph and MCP in docs/python.md do as it says."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from conftest import Waits
from langchain_core.tools import tool
from loopback import by_model, error, ollama, port
from tool_server import GONE, Tools, text

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "python.md"
HEADING = "\n## LangChain, LangGraph and MCP\n"
QUESTION: Any = {"messages": [("user", "Why is the sky blue?")]}

SERVER = """
import asyncio, os, pathlib
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

server = Server("files")

@server.list_tools()
async def list_tools():
    return [types.Tool(name="read", inputSchema={"type": "object"})]

@server.call_tool()
async def call_tool(name, arguments):
    died = pathlib.Path("died")
    if not died.exists():
        died.touch()
        os._exit(1)
    return [types.TextContent(type="text", text="sky")]

async def main():
    async with stdio_server() as streams:
        await server.run(*streams, server.create_initialization_options())

asyncio.run(main())
"""
"""A server that dies within its first call."""


def blocks() -> list[CodeType]:
    """The section's programs, compiled."""
    section = GUIDE.read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    found = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [compile(block, GUIDE, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT) for block in found]


async def run(block: CodeType, names: dict[str, Any]) -> None:
    """Runs a program, which may await."""
    result = eval(block, names)
    if inspect.isawaitable(result):
        await result


def test_the_section_has_six_programs() -> None:
    assert len(blocks()) == 6


def run_first(*numbers: int, names: dict[str, Any]) -> dict[str, Any]:
    """The names that some of the programs define."""
    found = blocks()
    for number in numbers:
        asyncio.run(run(found[number], names))
    return names


def searching() -> tuple[Any, list[str]]:
    """A tool `search` whose connection breaks at its first call."""
    calls: list[str] = []

    @tool
    def search() -> str:
        """Searches."""
        calls.append("search")
        if len(calls) == 1:
            raise ConnectionResetError("reset")
        return "found"

    return search, calls


def test_the_agent_takes_the_other_model_and_repeats_the_tool(monkeypatch: pytest.MonkeyPatch, waits: Waits) -> None:
    search, calls = searching()
    missing = by_model(**{"gemma3:4b": ollama(tool="search")})
    with port(missing, missing, ollama("Rayleigh")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        names = run_first(0, names={"search": search})
        assert names["answer"]["messages"][-1].text == "Rayleigh"
        assert server.models == ["qwen3:8b", "gemma3:4b", "qwen3:8b"]
    assert len(calls) == 2


def test_the_managers_chain_serves_the_agent(monkeypatch: pytest.MonkeyPatch, waits: Waits) -> None:
    search, _ = searching()
    with port(by_model(**{"gemma3:4b": ollama("Rayleigh")})) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        names = run_first(0, 1, names={"search": search})
        server.bodies.clear()
        assert names["agent"].invoke(QUESTION)["messages"][-1].text == "Rayleigh"
        assert server.models == ["qwen3:8b", "gemma3:4b"]
        assert len(names["manager"].classifier.error_history) == 1


def test_the_chain_streams_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], waits: Waits
) -> None:
    with port(error(503, "busy"), ollama("the ", "sky")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        run_first(2, names=imported())
    assert capsys.readouterr().out == "the sky"
    assert len(waits) == 1


def imported() -> dict[str, Any]:
    """The names that the section has imported before."""
    from langchain_ollama import ChatOllama

    return {"ChatOllama": ChatOllama}


def test_the_loops_of_other_libraries_retry(monkeypatch: pytest.MonkeyPatch, waits: Waits) -> None:
    from langchain_core.runnables import RunnableLambda

    calls: list[None] = []

    def fetch() -> str:
        calls.append(None)
        if len(calls) % 2:
            raise ConnectionResetError("reset")
        return "whole"

    names = run_first(3, names={"chain": RunnableLambda(lambda _: fetch()), "fetch": fetch})
    assert [names["by_stamina"](), names["by_tenacity"](), names["step"].invoke(0)] == ["whole"] * 3
    assert names["policy"].retry_on(ConnectionResetError()) and not names["policy"].retry_on(ValueError())
    assert names["middleware"].retry_on is names["policy"].retry_on
    assert len(calls) == 6


def test_the_session_repeats_a_tool_that_reads(waits: Waits) -> None:
    tools = Tools(GONE, "notes", "!busy", "notes")

    async def main() -> None:
        async with tools.session() as session:
            names: dict[str, Any] = {"session": session}
            await run(blocks()[4], names)
            assert text(names["result"]) == "notes"
            assert text(await names["strict"].call_tool("read")) == "notes"

    asyncio.run(main())
    assert len(tools.calls) == 4


def test_the_interceptor_goes_on_with_another_server_after_one_has_died(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import upright

    (tmp_path / "server.py").write_text(SERVER)
    monkeypatch.chdir(tmp_path)

    async def main() -> Any:
        names: dict[str, Any] = {}
        await run(blocks()[5], names)
        (read,) = names["tools"]
        return (await read.ainvoke({}))[0]["text"]

    # Processes need the real sleep.
    with upright.testing.instantly() as waits:
        assert asyncio.run(main()) == "sky"
    assert len(waits) == 1 and (tmp_path / "died").exists()
