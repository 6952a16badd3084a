"""Agents of `langchain` recover: real clients, servers on the loopback that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import ollama as ollama_client
import pytest
from conftest import Waits
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from loopback import by_model, error, ollama, openai, port

import upright
from upright.langchain import RecoveryMiddleware

QUESTION: Any = {"messages": [("user", "Why is the sky blue?")]}
Run = Callable[..., Any]


def at_ollama(url: str, model: str = "a") -> ChatOllama:
    """A model at a server that speaks Ollama's protocol."""
    return ChatOllama(model=model, base_url=url)


def at_openai(url: str, model: str = "a") -> ChatOpenAI:
    """A model at a server that speaks OpenAI's protocol."""
    return ChatOpenAI(model=model, base_url=f"{url}/v1", api_key="none", max_retries=0)  # type: ignore[arg-type]


def run_sync(agent: Any, value: Any = QUESTION, config: Any = None) -> Any:
    """Runs an agent in this thread."""
    return agent.invoke(value, config)


def run_async(agent: Any, value: Any = QUESTION, config: Any = None) -> Any:
    """Runs an agent in a loop of events."""
    return asyncio.run(agent.ainvoke(value, config))


def text(result: Any) -> str:
    """The agent's answer."""
    answer: str = result["messages"][-1].text
    return answer


runs = pytest.mark.parametrize("run", [run_sync, run_async])
clients = pytest.mark.parametrize(
    ("model_at", "whole"), [(at_ollama, ollama("Rayleigh")), (at_openai, openai("Rayleigh"))]
)


@runs
@clients
def test_an_agent_gets_its_answer_from_a_server_that_comes_up(
    run: Run, model_at: Callable[[str], BaseChatModel], whole: bytes, waits: Waits
) -> None:
    with port(whole, is_open=False) as server:
        waits.then = server.open
        assert text(run(create_agent(model_at(server.url), middleware=[RecoveryMiddleware()]))) == "Rayleigh"
        assert (len(waits), len(server.bodies)) == (1, 1)


@runs
@clients
def test_an_overloaded_server_is_asked_again_after_the_wait_that_it_asks_for(
    run: Run, model_at: Callable[[str], BaseChatModel], whole: bytes, waits: Waits
) -> None:
    with port(error(503, "busy", "retry-after: 7"), whole) as server:
        assert text(run(create_agent(model_at(server.url), middleware=[RecoveryMiddleware()]))) == "Rayleigh"
    asked = 7.0 if isinstance(model_at(server.url), ChatOpenAI) else 0.5
    # Ollama's client keeps no headers of an answer.
    assert len(waits) == 1 and waits[0] >= asked


@runs
def test_the_next_model_answers_where_one_is_missing(run: Run, waits: Waits) -> None:
    with port(by_model(b=ollama("Rayleigh"))) as server:
        middleware = RecoveryMiddleware(models=[at_ollama(server.url, "c"), at_ollama(server.url, "b")])
        assert text(run(create_agent(at_ollama(server.url), middleware=[middleware]))) == "Rayleigh"
        assert server.models == ["a", "c", "b"]
    assert waits == []


@runs
def test_names_of_the_managers_chain_become_models(run: Run, waits: Waits) -> None:
    with port(by_model(c=ollama("Rayleigh"))) as server:
        manager = upright.RecoveryManager(fallback_models=["z", "a", "b", "c"])
        middleware = RecoveryMiddleware(manager, model_of=lambda name: at_ollama(server.url, name))
        assert text(run(create_agent(at_ollama(server.url), middleware=[middleware]))) == "Rayleigh"
        # The agent's model is in the chain: those after it follow.
        assert server.models == ["a", "b", "c"]
    # The classifier has seen what the chain recovered.
    assert len(manager.classifier.error_history) == 2


@runs
def test_the_models_after_the_agents_own_follow(run: Run, waits: Waits) -> None:
    with port(by_model()) as server, port(by_model()) as elsewhere:
        chain = [at_ollama(elsewhere.url, "b"), *(at_ollama(server.url, name) for name in "abc")]
        with pytest.raises(ollama_client.ResponseError):
            run(create_agent(at_ollama(server.url, "b"), middleware=[RecoveryMiddleware(models=chain)]))
        assert (server.models, elsewhere.models) == (["b", "c"], [])


def test_a_chain_of_names_needs_a_factory() -> None:
    with pytest.raises(TypeError, match="model_of"):
        RecoveryMiddleware(models=["a"])


@runs
def test_a_model_at_an_address_that_refuses_is_passed_over_for_one_elsewhere(run: Run, waits: Waits) -> None:
    with port(is_open=False) as down, port(ollama("Rayleigh")) as server:
        manager = upright.RecoveryManager(upright.RetryStrategy(max_retries=1))
        middleware = RecoveryMiddleware(manager, models=[at_ollama(down.url, "b"), at_ollama(server.url, "c")])
        assert text(run(create_agent(at_ollama(down.url), middleware=[middleware]))) == "Rayleigh"
        assert server.models == ["c"]
    # One retry of `a`; none of `b`.
    assert len(waits) == 1


@runs
def test_a_tool_that_does_not_exist_is_an_answer_for_the_model(run: Run, waits: Waits) -> None:
    look, calls = failing_tool(0)
    with port(ollama(tool="invented"), ollama("Sorry")) as server:
        result = run(tool_agent(server.url, look, RecoveryMiddleware()))
    assert (text(result), result["messages"][-2].status, calls) == ("Sorry", "error", [])


@runs
def test_another_model_of_the_same_host_answers_where_one_stays_overloaded(run: Run, waits: Waits) -> None:
    busy = by_model(a=error(503, "busy"), b=ollama("Rayleigh"))
    with port(busy) as server:
        middleware = RecoveryMiddleware(models=[at_ollama(server.url, "b")])
        assert text(run(create_agent(at_ollama(server.url), middleware=[middleware]))) == "Rayleigh"
        assert server.models == ["a"] * 4 + ["b"]
    assert len(waits) == 3


@runs
@pytest.mark.parametrize("is_same", [True, False])
def test_each_model_has_a_breaker_of_its_own(run: Run, is_same: bool, waits: Waits) -> None:
    answers = by_model(a=error(503, "busy"), b=ollama("Rayleigh"))
    with port(answers) as first, port(answers) as second:
        strategy = upright.RetryStrategy(max_retries=0)
        strategy.circuit_breaker = upright.CircuitBreaker(failure_threshold=1)
        other = at_ollama(first.url if is_same else second.url, "b")
        middleware = RecoveryMiddleware(upright.RecoveryManager(strategy), models=[other])
        agent = create_agent(at_ollama(first.url), middleware=[middleware])
        assert [text(run(agent)) for _ in range(3)] == ["Rayleigh"] * 3
        # The breaker of `a` opened at its first failure, and that of `b` never.
        assert sorted(first.models + second.models) == ["a", "b", "b", "b"]


@runs
@pytest.mark.parametrize(("status", "said"), [(400, "invalid format"), (401, "invalid key")])
def test_a_request_or_key_that_is_wrong_reaches_no_other_model(run: Run, status: int, said: str, waits: Waits) -> None:
    with port(error(status, said)) as server, port(ollama("Rayleigh")) as elsewhere:
        middleware = RecoveryMiddleware(models=[at_ollama(server.url, "b"), at_ollama(elsewhere.url, "b")])
        with pytest.raises(ollama_client.ResponseError, match=said):
            run(create_agent(at_ollama(server.url), middleware=[middleware]))
        assert (server.models, elsewhere.models) == (["a"], [])


@runs
def test_the_last_exception_comes_out_as_it_is(run: Run, waits: Waits) -> None:
    with port(by_model()) as server:
        middleware = RecoveryMiddleware(models=[at_ollama(server.url, "b")])
        with pytest.raises(ollama_client.ResponseError, match="model 'b' not found"):
            run(create_agent(at_ollama(server.url), middleware=[middleware]))


@runs
def test_an_answer_whose_connection_breaks_is_asked_for_again(run: Run, waits: Waits) -> None:
    with port(ollama("Ray", is_cut=True), ollama("Rayleigh")) as server:
        assert text(run(create_agent(at_ollama(server.url), middleware=[RecoveryMiddleware()]))) == "Rayleigh"


@runs
def test_an_answer_whose_connection_always_breaks_is_an_exception(run: Run, waits: Waits) -> None:
    with port(ollama("Ray", is_cut=True)) as server, pytest.raises(httpx.RemoteProtocolError):
        run(create_agent(at_ollama(server.url), middleware=[RecoveryMiddleware()]))


def failing_tool(times: int) -> tuple[BaseTool, list[None]]:
    """A tool `look` whose connection breaks at its first calls."""
    calls: list[None] = []

    @tool
    def look() -> str:
        """Looks at the sky."""
        calls.append(None)
        if len(calls) <= times:
            raise ConnectionResetError("reset")
        return "blue"

    return look, calls


def tool_agent(url: str, look: BaseTool, middleware: RecoveryMiddleware, **options: Any) -> Any:
    """An agent that calls a tool."""
    return create_agent(at_ollama(url), tools=[look], middleware=[middleware], **options)


ANSWERS = (ollama(tool="look"), ollama("Blue"))


@runs
@pytest.mark.parametrize("tools", [True, {"look"}])
def test_a_tool_that_may_be_repeated_is(run: Run, tools: Any, waits: Waits) -> None:
    look, calls = failing_tool(1)
    with port(*ANSWERS) as server:
        result = run(tool_agent(server.url, look, RecoveryMiddleware(tools=tools)))
        assert (text(result), result["messages"][-2].content, len(calls)) == ("Blue", "blue", 2)


@runs
@pytest.mark.parametrize("tools", [False, {"other"}])
def test_a_tool_that_may_not_be_repeated_is_called_once(run: Run, tools: Any, waits: Waits) -> None:
    look, calls = failing_tool(1)
    with port(*ANSWERS) as server, pytest.raises(ConnectionResetError):
        run(tool_agent(server.url, look, RecoveryMiddleware(tools=tools)))
    assert (len(calls), waits) == (1, [])


@pytest.mark.parametrize(
    ("annotations", "times"),
    [
        ({"readOnlyHint": None, "idempotentHint": None}, 1),
        ({"readOnlyHint": False, "idempotentHint": True}, 2),
        ({"read_only_hint": True}, 2),
        ({"other": 1}, 2),
    ],
)
def test_annotations_say_whether_a_tool_is_repeated(annotations: Any, times: int, waits: Waits) -> None:
    look, calls = failing_tool(9)
    look.metadata = annotations
    manager = upright.RecoveryManager(upright.RetryStrategy(max_retries=1))
    with port(*ANSWERS) as server, pytest.raises(ConnectionResetError):
        run_sync(tool_agent(server.url, look, RecoveryMiddleware(manager)))
    assert len(calls) == times


@runs
def test_an_interrupt_in_a_tool_passes_and_resumes(run: Run, waits: Waits) -> None:
    calls: list[None] = []

    @tool
    def look() -> str:
        """Asks a person."""
        calls.append(None)
        return str(interrupt("which colour?"))

    manager = upright.RecoveryManager()
    config = {"configurable": {"thread_id": "1"}}
    with port(*ANSWERS) as server:
        agent = tool_agent(server.url, look, RecoveryMiddleware(manager), checkpointer=InMemorySaver())
        stopped = run(agent, QUESTION, config)
        assert [stop.value for stop in stopped["__interrupt__"]] == ["which colour?"]
        assert (len(calls), waits, manager.classifier.error_history) == (1, [], [])
        result = run(agent, Command(resume="green"), config)
        assert (text(result), result["messages"][-2].content, len(calls)) == ("Blue", "green", 2)


@wrap_model_call
def asking(request: Any, handler: Any) -> Any:
    """Asks a person where a model fails."""
    try:
        return handler(request)
    except (ConnectionError, httpx.ConnectError):
        return interrupt("go on?")


@wrap_model_call
async def asking_async(request: Any, handler: Any) -> Any:
    """`asking` for an agent that is awaited."""
    try:
        return await handler(request)
    except (ConnectionError, httpx.ConnectError):
        return interrupt("go on?")


@pytest.mark.parametrize(("run", "inner"), [(run_sync, asking), (run_async, asking_async)])
def test_an_interrupt_in_a_model_call_passes(run: Run, inner: Any, waits: Waits) -> None:
    with port(is_open=False) as down, port(ollama("Rayleigh")) as server:
        recovery = RecoveryMiddleware(models=[at_ollama(server.url, "b")])
        agent = create_agent(at_ollama(down.url), middleware=[recovery, inner], checkpointer=InMemorySaver())
        stopped = run(agent, QUESTION, {"configurable": {"thread_id": "1"}})
        assert [stop.value for stop in stopped["__interrupt__"]] == ["go on?"]
        assert (server.bodies, waits) == ([], [])
