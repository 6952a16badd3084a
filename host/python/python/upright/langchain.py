"""Recovery for LangChain: the models and tools of its agents, and its runnables. Needs `langchain`.

An agent has them as `create_agent(model, tools, middleware=[RecoveryMiddleware(models=[another_model])])`, a chain as
`prompt | guarded(model, max_retries=5)`.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager
from logging import getLogger
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.utils import Input, Output
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

import upright
from upright._integration import HINTS, ByName, GuardOptions

if TYPE_CHECKING:
    from langchain_core.runnables.graph import Graph
    from langchain_core.runnables.utils import ConfigurableFieldSpec
    from typing_extensions import Unpack

    from upright import RecoveryManager

__all__ = ["RecoveryMiddleware", "guarded"]

_log = getLogger("upright")

_NAMES = ("model", "model_name", "model_id")
_ADDRESSES = ("base_url", "openai_api_base", "anthropic_api_url", "azure_endpoint", "endpoint_url")
_ANOTHER_MODEL_HELPS = ("transient", "timeout", "resource")


class RecoveryMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Recovers the model calls and the tool calls of an agent that `langchain.agents.create_agent` makes.

    A model call is retried by the manager's strategy. If that does not help but another model may, the next model of
    the chain gets the same request. After a failure of the host, such as a refused connection, models at the same
    address are passed over. Each model and each tool has a circuit breaker, with the settings of the strategy's own.
    Control flow of LangGraph, such as `interrupt()`, passes.

    - `manager`: gives the strategy and the chain of names, and its classifier records each failed attempt. Without a
      manager, the strategy is `RetryStrategy()`. Its limits hold for each model. A change of its settings counts for
      models and tools that are not yet known.
    - `models`: the chain, best first, in place of the manager's names. The agent's own model need not be in it; if it
      is, the models after it follow.
    - `model_of`: makes the chat model of a name. Without it, the manager's names are not used.
    - `tools`: the tools that may be called again after a failure: all (`True`), none (`False`), or some names. With
      `True`, a tool is not repeated if its annotations of MCP say that it is neither read-only nor idempotent.

    Raises `TypeError` for a name in `models` without `model_of`.
    """

    def __init__(
        self,
        manager: RecoveryManager | None = None,
        *,
        models: Sequence[BaseChatModel | str] | None = None,
        model_of: Callable[[str], BaseChatModel] | None = None,
        tools: bool | Collection[str] = True,
    ) -> None:
        super().__init__()
        if model_of is None and any(isinstance(model, str) for model in models or ()):
            raise TypeError("models has names; expected chat models, or model_of, which makes the chat model of a name")
        self._manager = manager
        self._models = models
        self._model_of = model_of
        self._repeatable = tools
        self._made: dict[str, BaseChatModel] = {}
        strategy = manager.retry_strategy if manager is not None else upright.RetryStrategy()
        self._guards = ByName({"strategy": strategy}, failed=self._failed)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | AIMessage:
        """Calls the model, and others where that helps."""
        following = self._following(request.model)
        while True:
            try:
                response: ModelResponse[Any] = self._guards.of(_identity(request.model)).call(handler, request)
                return response
            except Exception as error:
                another = self._instead(request, following, error)
                if another is None:
                    raise
                request = another

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | AIMessage:
        """`wrap_model_call` for an agent that is awaited."""
        following = self._following(request.model)
        while True:
            try:
                response: ModelResponse[Any] = await self._guards.of(_identity(request.model)).await_(handler, request)
                return response
            except Exception as error:
                another = self._instead(request, following, error)
                if another is None:
                    raise
                request = another

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Calls a tool, again if it may be repeated."""
        if not self._may_repeat(request):
            return handler(request)
        result: ToolMessage | Command[Any] = self._guards.of(_tool(request)).call(handler, request)
        return result

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """`wrap_tool_call` for an agent that is awaited."""
        if not self._may_repeat(request):
            return await handler(request)
        result: ToolMessage | Command[Any] = await self._guards.of(_tool(request)).await_(handler, request)
        return result

    def _failed(self, error: Exception, name: str) -> None:
        if self._manager is not None and not isinstance(error, GraphBubbleUp):
            self._manager.classifier.classify(error, context={"operation": name})

    def _following(self, first: BaseChatModel) -> Iterator[BaseChatModel]:
        """The models that may take the place of the first, best first."""
        chain = self._models
        if chain is None:
            named = self._manager is not None and self._model_of is not None
            chain = self._manager.degradation.fallback_chain if self._manager is not None and named else ()
        known = {_name(first), _identity(first)}
        places = [place for place, model in enumerate(chain) if (_key(model)) in known]
        return map(self._model, chain[places[0] + 1 if places else 0 :])

    def _model(self, model: BaseChatModel | str) -> BaseChatModel:
        if not isinstance(model, str):
            return model
        if model not in self._made:
            assert self._model_of is not None
            self._made[model] = self._model_of(model)
        return self._made[model]

    def _instead(
        self, request: ModelRequest[Any], following: Iterator[BaseChatModel], error: Exception
    ) -> ModelRequest[Any] | None:
        """The request for the next model that may help; `None` where there is none."""
        failed = request.model
        model = next((model for model in following if _may_help(model, failed, error)), None)
        if model is None:
            return None
        _log.warning("Falling back from %s to %s", _name(failed), _name(model))
        return request.override(model=model)

    def _may_repeat(self, request: ToolCallRequest) -> bool:
        if request.tool is None:
            # A model made the name up.
            return False
        if not isinstance(self._repeatable, bool):
            return request.tool_call["name"] in self._repeatable
        hints = request.tool.metadata or {}
        said = [hints[hint] for hint in HINTS if hint in hints]
        return self._repeatable and (not said or any(said))


def _text(model: object, names: tuple[str, ...]) -> str | None:
    """The first of these attributes that is a text. Empty if there are some, but none is."""
    found = [getattr(model, name) for name in names if hasattr(model, name)]
    return next((value for value in found if isinstance(value, str)), "" if found else None)


def _name(model: BaseChatModel) -> str:
    return _text(model, _NAMES) or type(model).__qualname__


def _address(model: BaseChatModel) -> tuple[type, str] | None:
    address = _text(model, _ADDRESSES)
    return None if address is None else (type(model), address)


def _identity(model: BaseChatModel) -> str:
    """A text that is another one for each model and address."""
    return " ".join(filter(None, (type(model).__qualname__, _name(model), _text(model, _ADDRESSES))))


def _key(model: BaseChatModel | str) -> str:
    return model if isinstance(model, str) else _identity(model)


def _tool(request: ToolCallRequest) -> str:
    return f"tool {request.tool_call['name']}"


def _may_help(model: BaseChatModel, failed: BaseChatModel, error: Exception) -> bool:
    """Whether a model may succeed where another one failed."""
    if isinstance(error, GraphBubbleUp):
        return False
    meaning = upright.classify(error)
    if meaning.model_specific or meaning.category in _ANOTHER_MODEL_HELPS:
        return True
    return meaning.host_specific and (_address(model) is None or _address(model) != _address(failed))


def guarded(runnable: Runnable[Input, Output], **options: Unpack[GuardOptions]) -> Runnable[Input, Output]:
    """A runnable that is retried. The options are those of `upright.guard`, such as `strategy`.

    Each input of a batch is retried by itself. A stream is retried until its first chunk is out, and never after.
    Callbacks find the tag `upright:attempt:2` at the second attempt, and so on. Control flow of LangGraph passes.

    Raises `ValueError` or `TypeError` for options that cannot be used.
    """
    return _Guarded(runnable, options)


class _Guarded(Runnable[Input, Output]):
    """A runnable under guard. Batches and transformations go through its four ways to run."""

    def __init__(self, bound: Runnable[Input, Output], options: GuardOptions) -> None:
        self._bound = bound

        def invoke(value: Input, config: RunnableConfig | None, kwargs: dict[str, Any]) -> Output:
            return bound.invoke(value, _tagged(config), **kwargs)

        async def ainvoke(value: Input, config: RunnableConfig | None, kwargs: dict[str, Any]) -> Output:
            return await bound.ainvoke(value, _tagged(config), **kwargs)

        def stream(
            value: Input, config: RunnableConfig | None, kwargs: dict[str, Any]
        ) -> Generator[Output, None, None]:
            yield from bound.stream(value, _tagged(config), **kwargs)

        async def astream(
            value: Input, config: RunnableConfig | None, kwargs: dict[str, Any]
        ) -> AsyncGenerator[Output, None]:
            async with _closing(bound.astream(value, _tagged(config), **kwargs)) as chunks:
                async for chunk in chunks:
                    yield chunk

        for func in (invoke, ainvoke, stream, astream):
            func.__qualname__ = self.get_name()
        decorate = upright.guard(**options)
        self._invoke, self._ainvoke = decorate(invoke), decorate(ainvoke)
        self._stream, self._astream = decorate(stream), decorate(astream)

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """The name of what is guarded."""
        return self._bound.get_name(suffix, name=name)

    @property
    def InputType(self) -> type[Any]:
        """The type of its input."""
        return self._bound.InputType

    @property
    def OutputType(self) -> type[Output]:
        """The type of its output."""
        return self._bound.OutputType

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[Any]:
        """The schema of its input."""
        return self._bound.get_input_schema(config)

    def get_output_schema(self, config: RunnableConfig | None = None) -> type[Any]:
        """The schema of its output."""
        return self._bound.get_output_schema(config)

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """The fields of what is guarded that can be configured."""
        return self._bound.config_specs

    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        """The graph of what is guarded."""
        return self._bound.get_graph(config)

    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Runs it."""
        return self._invoke(input, config, kwargs)

    async def ainvoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Runs it."""
        return await self._ainvoke(input, config, kwargs)

    def stream(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Output]:
        """Runs it, chunk by chunk."""
        yield from self._stream(input, config, kwargs)

    async def astream(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Output]:
        """Runs it, chunk by chunk."""
        async with _closing(self._astream(input, config, kwargs)) as chunks:
            async for chunk in chunks:
                yield chunk


@asynccontextmanager
async def _closing(chunks: AsyncIterator[Output]) -> AsyncGenerator[AsyncIterator[Output], None]:
    """Closes an iterator where it can be closed."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _tagged(config: RunnableConfig | None) -> RunnableConfig:
    """The configuration for the attempt in progress."""
    number = upright.current_attempt().number
    return merge_configs(config, {"tags": [f"upright:attempt:{number}"]} if number > 1 else None)
