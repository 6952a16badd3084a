"""A real server of tools in this process, and its session, for versions 1 and 2 of `mcp`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio
import mcp
from mcp import types
from mcp.server.lowlevel import Server
from mcp.shared.memory import create_client_server_memory_streams

IS_OLD = version("mcp").startswith("1.")
_LIBRARY: Any = mcp
GONE, WRONG = -32000, -32602
"""Codes of errors: a closed connection, and parameters that are wrong."""

Outcome = str | int
"""A result's text, `!` before it for an error of the tool, or the code of an error of the protocol."""


def error(code: int) -> Exception:
    """An error of the protocol."""
    made: Exception
    if IS_OLD:
        made = _LIBRARY.McpError(types.ErrorData(code=code, message="failed"))
    else:
        made = _LIBRARY.MCPError(code, "failed")
    return made


ERROR = type(error(0))

ANNOTATIONS: dict[str, dict[str, bool] | None] = {
    "read": {"readOnlyHint": True},
    "add": {"readOnlyHint": False, "idempotentHint": False},
    "put": {"readOnlyHint": False, "idempotentHint": True},
    "silent": None,
}


class Tools:
    """Tools with these outcomes, one after the other. `calls` are the tools called, `pages` counts the lists read."""

    def __init__(self, *outcomes: Outcome, broken_lists: int = 0) -> None:
        self.calls: list[str] = []
        self.pages = 0
        self._outcomes = outcomes
        self._broken_lists = broken_lists
        self.server: Server[Any] = self._old() if IS_OLD else self._new()

    def _list(self, cursor: str | None) -> types.ListToolsResult:
        self.pages += 1
        if self._broken_lists:
            self._broken_lists -= 1
            raise error(GONE)
        names = list(ANNOTATIONS)[2:] if cursor == "more" else list(ANNOTATIONS)[:2]
        found = [{"name": name, "inputSchema": {"type": "object"}, "annotations": ANNOTATIONS[name]} for name in names]
        return types.ListToolsResult.model_validate({"tools": found, "nextCursor": None if cursor else "more"})

    def _call(self, name: str) -> types.CallToolResult:
        outcome = self._outcomes[min(len(self.calls), len(self._outcomes) - 1)]
        self.calls.append(name)
        if isinstance(outcome, int):
            raise error(outcome)
        content = [{"type": "text", "text": outcome.lstrip("!")}]
        return types.CallToolResult.model_validate({"content": content, "isError": outcome.startswith("!")})

    def _old(self) -> Any:
        server: Any = Server("tools")

        async def list_tools(request: Any) -> Any:
            return _LIBRARY.types.ServerResult(self._list(request.params.cursor if request.params else None))

        async def call_tool(request: Any) -> Any:
            return _LIBRARY.types.ServerResult(self._call(request.params.name))

        server.request_handlers[types.ListToolsRequest] = list_tools
        server.request_handlers[types.CallToolRequest] = call_tool
        return server

    def _new(self) -> Any:
        async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
            return self._list(params.cursor if params else None)

        async def call_tool(context: Any, params: Any) -> types.CallToolResult:
            return self._call(params.name)

        make: Any = Server
        return make("tools", on_list_tools=list_tools, on_call_tool=call_tool)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[mcp.ClientSession]:
        """A session of a client."""
        server = self.server
        async with create_client_server_memory_streams() as (client, served), anyio.create_task_group() as group:
            group.start_soon(server.run, *served, server.create_initialization_options())
            async with mcp.ClientSession(*client) as session:
                await session.initialize()
                yield session
            group.cancel_scope.cancel()


def text(result: Any) -> str:
    """The text of a result."""
    found: str = result.content[0].text
    return found
