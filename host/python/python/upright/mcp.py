"""Recovery for tool calls of the Model Context Protocol. Needs `mcp`, versions 1 or 2.

    session = guarded(session, max_retries=5)
    result = await session.call_tool("search", {"query": "upright"})

The protocol repeats nothing. A repeated call may do a thing twice, so only tools are repeated that may be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mcp import ClientSession
from mcp.types import PaginatedRequestParams

import upright
from upright._integration import HINTS, ByName, GuardOptions

if TYPE_CHECKING:
    from mcp.types import CallToolResult
    from typing_extensions import Unpack

__all__ = ["GuardedSession", "RecoveryInterceptor", "guarded", "is_success"]


class Session(Protocol):
    """A session or client with tools."""

    @property
    def call_tool(self) -> Callable[..., Awaitable[Any]]:
        """Calls a tool."""
        ...

    @property
    def list_tools(self) -> Callable[..., Awaitable[Any]]:
        """A page of the list of tools."""
        ...


def is_success(result: Any) -> bool:
    """Whether a tool's result is no error of the tool. For `accept`."""
    return not (getattr(result, "isError", False) or getattr(result, "is_error", False))


def guarded(
    session: Session,
    *,
    tools: bool | Collection[str] | None = None,
    accept: Callable[[Any], object] | None = None,
    **options: Unpack[GuardOptions],
) -> GuardedSession:
    """A session whose tool calls are retried where a tool may be repeated. All else of the session stays as it is.

    - `session`: a `mcp.ClientSession`, or a `mcp.Client` of version 2. One that has ended stays ended.
    - `tools`: the tools that may be repeated: all (`True`), none (`False`) or some names. By default, those whose
      annotations say that they are read-only or idempotent. Trust them only as far as you trust the server. The list
      of tools is then read before the first call, and again for a name that it lacks.
    - `accept`: says of a result whether it is one. By default each is, also one that says `isError`: a model reads it.
      With `accept=is_success` it counts as a failure, and raises `upright.RejectedResultError` in the end.
    - `options`: those of `upright.guard`, such as `strategy`, `deadline` and `breaker`.

    Raises `ValueError` or `TypeError` for options that cannot be used.
    """
    return GuardedSession(session, tools, accept, options)


class GuardedSession:
    """A session under guard; `guarded` makes it. It has all attributes of the session."""

    def __init__(
        self,
        session: Session,
        tools: bool | Collection[str] | None,
        accept: Callable[[Any], object] | None,
        options: GuardOptions,
    ) -> None:
        self._session = session
        self._tools = tools
        self._known: dict[str, bool] = {}

        async def call_tool(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return await session.call_tool(*args, **kwargs)

        async def list_tools() -> dict[str, bool]:
            return await _repeatable(session)

        call_tool.__qualname__, list_tools.__qualname__ = "call_tool", "list_tools"
        self._repeating = upright.guard(**options, accept=accept)(call_tool)
        self._once = self._repeating.with_options(max_retries=0)
        self._list = upright.guard(**options)(list_tools)

    async def call_tool(
        self, name: str, arguments: dict[str, Any] | None = None, *args: Any, **kwargs: Any
    ) -> CallToolResult:
        """Calls a tool, with the arguments of the session's own method. Raises the session's own exceptions."""
        call = self._repeating if await self._may_repeat(name) else self._once
        result: CallToolResult = await call((name, arguments, *args), kwargs)
        return result

    async def _may_repeat(self, name: str) -> bool:
        if isinstance(self._tools, bool):
            return self._tools
        if self._tools is not None:
            return name in self._tools
        if name not in self._known:
            self._known = await self._list()
        return self._known.get(name, False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


async def _repeatable(session: Session) -> dict[str, bool]:
    """Whether each tool says that it may be repeated."""
    found: dict[str, bool] = {}
    cursor: str | None = None
    while True:
        if cursor is None:
            page = await session.list_tools()
        elif isinstance(session, ClientSession):
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        else:
            page = await session.list_tools(cursor=cursor)
        found |= {tool.name: any(getattr(tool.annotations, hint, None) for hint in HINTS) for tool in page.tools}
        cursor = getattr(page, "nextCursor", None) or getattr(page, "next_cursor", None)
        if not cursor:
            return found


class _Request(Protocol):
    """A request of langchain-mcp-adapters."""

    name: str
    server_name: str


RequestT = TypeVar("RequestT", bound=_Request)
ResultT = TypeVar("ResultT")


class RecoveryInterceptor:
    """Repeats tool calls of langchain-mcp-adapters, as one of the `tool_interceptors` of a `MultiServerMCPClient`.

    - `tools`: the tools that may be repeated, as `name` or `server:name`; `True` for all. An interceptor does not see
      annotations: by default, no tool is repeated.
    - `accept`: says of a result whether it is one, as in `guarded`.
    - `options`: those of `upright.guard`. With a breaker, each server gets one with its settings.

    Raises `ValueError` or `TypeError` for options that cannot be used.
    """

    def __init__(
        self,
        *,
        tools: bool | Collection[str] = (),
        accept: Callable[[Any], object] | None = None,
        **options: Unpack[GuardOptions],
    ) -> None:
        self._tools = tools
        self._guards = ByName(options, accept=accept)

    async def __call__(self, request: RequestT, handler: Callable[[RequestT], Awaitable[ResultT]]) -> ResultT:
        """Calls a tool."""
        guards = self._guards.of(request.server_name)
        result: ResultT = await (guards.await_ if self._may_repeat(request) else guards.await_once)(handler, request)
        return result

    def _may_repeat(self, request: _Request) -> bool:
        if isinstance(self._tools, bool):
            return self._tools
        return request.name in self._tools or f"{request.server_name}:{request.name}" in self._tools
