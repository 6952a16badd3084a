"""Failures of tool servers (mcp), parsers (langchain-core, pydantic) and task groups (anyio)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pydantic
import servers
from langchain_core.output_parsers import PydanticOutputParser
from matrix import (
    INPUT,
    LONG,
    MISSING,
    REFUSED,
    REJECTED,
    RESET,
    SHORT,
    TIMEOUT,
    UNKNOWN,
    Absent,
    Expected,
    fails,
    version,
)
from mcp import ClientSession

OLD = version("mcp") < (2, 0)
Tool = Callable[[], Awaitable[Any]]

if OLD:
    from mcp import McpError, types  # type: ignore[attr-defined,unused-ignore]
    from mcp.server import Server
    from mcp.shared.memory import (  # type: ignore[attr-defined,unused-ignore]
        create_connected_server_and_client_session,
    )

    def rejection(code: int, message: str) -> Any:
        """The exception of a server's handler."""
        return McpError(types.ErrorData(code=code, message=message))

    def connected(tool: Tool, timeout: float) -> Any:
        """A client of a server with one tool."""
        server: Any = Server("test")

        async def call(_: object) -> Any:
            return await tool()

        server.request_handlers[types.CallToolRequest] = call
        return create_connected_server_and_client_session(server, read_timeout_seconds=timedelta(seconds=timeout))

else:
    from mcp import Client, MCPError
    from mcp.server import Server

    def rejection(code: int, message: str) -> Any:
        """The exception of a server's handler."""
        return MCPError(code, message)

    def connected(tool: Tool, timeout: float) -> Any:
        """A client of a server with one tool."""

        async def call(*_: object) -> Any:
            return await tool()

        return Client(Server("test", on_call_tool=call), mode="legacy", read_timeout_seconds=timeout)


def tool_fails(name: str, expected: Expected, tool: Tool, timeout: float = LONG) -> None:
    """Registers the call of a tool."""

    async def run() -> None:
        await failing(tool, lambda client: client.call_tool("test", {}), timeout)

    fails(f"mcp: {name}", expected, endpoint="tool")(run)


async def failing(tool: Tool, use: Callable[[Any], Awaitable[Any]], timeout: float = LONG) -> None:
    """Uses a server. Raises the failure outside of the client's own task groups."""
    failures: list[Exception] = []
    async with connected(tool, timeout) as client:
        with collecting(failures):
            await use(client)
    raise failures[0]


@contextmanager
def collecting(failures: list[Exception]) -> Iterator[None]:
    """Catches a failure."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        failures.append(error)


def rejecting(code: int, message: str) -> Tool:
    """A tool that answers with an error."""

    async def reject() -> Any:
        raise rejection(code, message)

    return reject


tool_fails("invalid parameters", INPUT, rejecting(-32602, "Invalid request parameters"))
tool_fails("internal error", UNKNOWN, rejecting(-32603, "Internal error"))
tool_fails("tool takes too long", TIMEOUT, anyio.sleep_forever, SHORT)


@fails("mcp: unknown method", MISSING, endpoint="tool")
async def unknown_method() -> None:
    await failing(anyio.sleep_forever, lambda client: client.list_prompts())


@fails("mcp: server goes away", RESET, endpoint="tool")
async def server_goes_away() -> None:
    if OLD:
        raise Absent("waits for ever")
    from mcp.shared.memory import create_client_server_memory_streams

    failures: list[Exception] = []
    async with (
        create_client_server_memory_streams() as (ours, theirs),
        ClientSession(*ours) as session,
        anyio.create_task_group() as group,
    ):

        async def leave() -> None:
            await theirs[0].receive()
            await theirs[1].aclose()

        group.start_soon(leave)
        with collecting(failures):
            await session.initialize()
    raise failures[0]


@fails("anyio: task group with a refused connection", REFUSED)
async def task_group() -> None:
    async def fetch() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=LONG) as client:
            await client.get(f"http://{servers.refused()}")

    async with anyio.create_task_group() as group:
        group.start_soon(fetch)
        group.start_soon(anyio.sleep_forever)


@fails("anyio: task group with a refused connection and a mistake", INPUT)
async def task_group_with_mistake() -> None:
    async def fetch() -> None:
        await anyio.connect_tcp("127.0.0.1", int(servers.refused().rpartition(":")[2]))

    async def mistake() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            int("five")

    async with anyio.create_task_group() as group:
        group.start_soon(mistake)
        group.start_soon(fetch)


@fails("anyio: fail_after", TIMEOUT)
async def fail_after() -> None:
    with anyio.fail_after(0):
        await anyio.sleep_forever()


class City(pydantic.BaseModel):
    """Shape of a model's answer."""

    name: str


@fails("pydantic: missing field", INPUT)
def validation() -> None:
    City.model_validate({})


@fails("langchain-core: unusable answer", REJECTED)
def parser() -> None:
    PydanticOutputParser(pydantic_object=City).parse('{"town": "Bern"}')
