"""The interceptor of langchain-mcp-adapters: real adapters, a real server of tools."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import Waits
from langchain_core.tools import ToolException
from langchain_mcp_adapters.tools import load_mcp_tools
from tool_server import ERROR, GONE, Tools

import upright
from upright.mcp import RecoveryInterceptor, is_success


def run(tools: Tools, name: str, times: int = 1, /, **options: Any) -> Any:
    """The outcome of the last of some calls of a tool."""

    async def main() -> Any:
        async with tools.session() as session:
            interceptor = RecoveryInterceptor(**options)
            loaded = await load_mcp_tools(
                session, tool_interceptors=[interceptor], server_name="files", handle_tool_errors=False
            )
            (tool,) = [tool for tool in loaded if tool.name == name]
            result: Any = None
            for _ in range(times):
                try:
                    result = (await tool.ainvoke({}))[0]["text"]
                except Exception as error:
                    result = error
            return result

    return asyncio.run(main())


@pytest.mark.parametrize("allowed", [{"add"}, {"files:add"}, True])
def test_a_tool_that_may_be_repeated_is(allowed: Any, waits: Waits) -> None:
    tools = Tools(GONE, "done")
    assert run(tools, "add", tools=allowed) == "done"
    assert (tools.calls, len(waits)) == (["add", "add"], 1)


@pytest.mark.parametrize("options", [{}, {"tools": {"read"}}, {"tools": {"other:add"}}, {"tools": False}])
def test_other_tools_are_called_once(options: Any, waits: Waits) -> None:
    tools = Tools(GONE, "done")
    assert isinstance(run(tools, "add", **options), ERROR)
    assert (tools.calls, waits) == (["add"], [])


def test_an_error_of_a_tool_goes_to_the_adapter(waits: Waits) -> None:
    tools = Tools("!no such city")
    assert isinstance(run(tools, "read", tools=True), ToolException)
    assert len(tools.calls) == 1


def test_an_error_of_a_tool_is_a_failure_where_that_is_asked_for(waits: Waits) -> None:
    assert run(Tools("!busy", "done"), "read", tools=True, accept=is_success) == "done"


def test_each_server_has_a_breaker(waits: Waits) -> None:
    tools = Tools(GONE)
    breaker = upright.CircuitBreaker(failure_threshold=2)
    assert isinstance(run(tools, "read", 3, breaker=breaker), upright.CircuitOpenError)
    assert len(tools.calls) == 2
    # It is a copy of the one that was given.
    assert breaker.phase == "closed"
