"""Tool calls of MCP under guard: a real server, a real session, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import mcp
import pytest
from conftest import Waits
from tool_server import ERROR, GONE, IS_OLD, WRONG, Tools, text

import upright
from upright.mcp import GuardedSession, guarded, is_success


def run(tools: Tools, block: Callable[[GuardedSession], Awaitable[Any]], /, **options: Any) -> Any:
    """The outcome of a block with a guarded session."""

    async def main() -> Any:
        # An exception that leaves a task group comes in a group.
        async with tools.session() as session:
            try:
                return await block(guarded(session, **options))
            except Exception as error:
                return error

    return asyncio.run(main())


def call(name: str) -> Callable[[GuardedSession], Awaitable[Any]]:
    """A block that calls a tool."""

    async def block(session: GuardedSession) -> Any:
        return text(await session.call_tool(name, {}))

    return block


@pytest.mark.parametrize("name", ["read", "put"])
def test_a_tool_that_says_that_it_may_be_repeated_is(name: str, waits: Waits) -> None:
    tools = Tools(GONE, GONE, "done")
    assert run(tools, call(name)) == "done"
    assert (tools.calls, len(waits)) == ([name] * 3, 2)


@pytest.mark.parametrize("name", ["add", "silent", "unknown"])
def test_a_tool_that_does_not_say_so_is_called_once(name: str, waits: Waits) -> None:
    tools = Tools(GONE, "done")
    assert isinstance(run(tools, call(name)), ERROR)
    assert (tools.calls, waits) == ([name], [])


@pytest.mark.parametrize(
    ("allowed", "name", "times"),
    [(True, "add", 2), ({"add"}, "add", 2), ({"add"}, "read", 1), (False, "read", 1), ((), "read", 1)],
)
def test_the_caller_says_which_tools_are_repeated(allowed: Any, name: str, times: int, waits: Waits) -> None:
    tools = Tools(GONE, "done")
    result = run(tools, call(name), tools=allowed)
    assert (len(tools.calls), result == "done") == (times, times == 2)


def test_wrong_parameters_are_not_repeated(waits: Waits) -> None:
    tools = Tools(WRONG)
    assert isinstance(run(tools, call("read")), ERROR)
    assert len(tools.calls) == 1


def test_the_exception_comes_out_as_it_is(waits: Waits) -> None:
    tools = Tools(GONE)
    error = run(tools, call("read"), max_retries=1)
    failure = upright.failure_of(error)
    assert isinstance(error, ERROR) and failure is not None
    assert failure.attempts == 2


def test_the_list_of_tools_is_read_once_and_again_for_an_unknown_name(waits: Waits) -> None:
    # A session of version 1 reads the list by itself where a call succeeds.
    tools = Tools(WRONG)

    async def block(session: GuardedSession) -> list[int]:
        pages = []
        for name in ("read", "add", "unknown"):
            with pytest.raises(ERROR):
                await session.call_tool(name)
            pages.append(tools.pages)
        return pages

    # The list has two pages.
    assert run(tools, block) == [2, 2, 4]


def test_a_list_that_fails_is_read_again(waits: Waits) -> None:
    tools = Tools("done", broken_lists=1)
    assert run(tools, call("read")) == "done"
    assert len(waits) == 1


def test_an_error_of_a_tool_is_a_result_for_the_model(waits: Waits) -> None:
    tools = Tools("!no such city", "done")

    async def block(session: GuardedSession) -> tuple[str, bool]:
        result = await session.call_tool("read")
        return text(result), is_success(result)

    assert run(tools, block) == ("no such city", False)
    assert tools.calls == ["read"]


@pytest.mark.parametrize(("name", "times"), [("read", 3), ("add", 1)])
def test_an_error_of_a_tool_is_a_failure_where_that_is_asked_for(name: str, times: int, waits: Waits) -> None:
    tools = Tools("!busy")
    error = run(tools, call(name), accept=is_success, max_retries=2)
    assert isinstance(error, upright.RejectedResultError)
    assert (text(error.result), len(tools.calls)) == ("busy", times)


def test_an_error_of_a_tool_that_ends_is_recovered_where_that_is_asked_for(waits: Waits) -> None:
    assert run(Tools("!busy", "done"), call("read"), accept=is_success) == "done"


def test_a_breaker_guards_all_tools_of_a_session(waits: Waits) -> None:
    tools = Tools(GONE)

    async def block(session: GuardedSession) -> list[type]:
        found = []
        for name in ("read", "add", "add"):
            try:
                await session.call_tool(name)
            except Exception as error:
                found.append(type(error))
        return found

    breaker = upright.CircuitBreaker(failure_threshold=2)
    found = run(tools, block, tools=(), breaker=breaker)
    assert found == [ERROR, ERROR, upright.CircuitOpenError]
    assert len(tools.calls) == 2


def test_all_else_of_a_session_stays_as_it_is(waits: Waits) -> None:
    async def block(session: GuardedSession) -> Any:
        await session.send_ping()
        return [tool.name for tool in (await session.list_tools()).tools]

    assert run(Tools("done"), block) == ["read", "add"]


def test_arguments_reach_the_session(waits: Waits) -> None:
    seen: list[Any] = []

    class Session:
        async def call_tool(self, *args: Any, **kwargs: Any) -> str:
            seen.append((args, kwargs))
            return "done"

        async def list_tools(self) -> Any:
            raise AssertionError("nobody asked")

    async def main() -> None:
        session = guarded(Session(), tools=True)
        await session.call_tool("a")
        await session.call_tool("a", {"b": 1}, 5, meta={"c": 2})

    asyncio.run(main())
    assert seen == [(("a", None), {}), (("a", {"b": 1}, 5), {"meta": {"c": 2}})]


@pytest.mark.skipif(IS_OLD, reason="version 1 has no such client")
def test_a_client_is_guarded_as_a_session_is(waits: Waits) -> None:
    async def main(tools: Tools) -> str:
        library: Any = mcp
        async with library.Client(tools.server) as client:
            return text(await guarded(client).call_tool("put"))

    tools = Tools(GONE, "done")
    assert asyncio.run(main(tools)) == "done"
    assert tools.calls == ["put", "put"]
    assert tools.pages == 2
