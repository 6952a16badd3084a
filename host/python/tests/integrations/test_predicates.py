"""`upright.is_retryable` in the retries of other libraries: a refused port comes up, a missing page stays missing."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
import stamina
import tenacity
from conftest import Waits
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, ToolRetryMiddleware
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy
from loopback import error, http, ollama, port

import upright

QUESTION: Any = {"messages": [("user", "hi")]}

Loop = Callable[[Callable[[], str]], str]
"""Calls a function by a library's retries."""


class State(TypedDict):
    """The state of a graph."""

    text: str


def by_tenacity(func: Callable[[], str]) -> str:
    """Calls a function by tenacity."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(upright.is_retryable),
        wait=tenacity.wait_fixed(1),
        stop=tenacity.stop_after_attempt(3),
        reraise=True,
    )
    return retrying(func)


def by_stamina(func: Callable[[], str]) -> str:
    """Calls a function by stamina."""
    return stamina.retry(on=upright.is_retryable, attempts=3)(func)()


def by_langchain(func: Callable[[], str]) -> str:
    """Calls a function as a step of LangChain."""
    step: RunnableLambda[None, str] = RunnableLambda(lambda _: func())
    return step.with_retry(retry_if_exception_type=upright.is_retryable, stop_after_attempt=3).invoke(None)


def graph_of(node: Any) -> Any:
    """A graph of one node."""
    graph = StateGraph(State)
    graph.add_node("fetch", node, retry_policy=RetryPolicy(max_attempts=3, retry_on=upright.is_retryable))
    graph.add_edge(START, "fetch")
    graph.add_edge("fetch", END)
    return graph.compile()


def by_langgraph(func: Callable[[], str]) -> str:
    """Calls a function as a node of LangGraph."""
    text: str = graph_of(lambda _: {"text": func()}).invoke({"text": ""})["text"]
    return text


def by_langgraph_async(func: Callable[[], str]) -> str:
    """Calls a function as a node of LangGraph in a loop of events."""

    async def node(_: State) -> State:
        return {"text": func()}

    text: str = asyncio.run(graph_of(node).ainvoke({"text": ""}))["text"]
    return text


loops = pytest.mark.parametrize("loop", [by_tenacity, by_stamina, by_langchain, by_langgraph, by_langgraph_async])


def fetching(url: str) -> tuple[Callable[[], str], list[None]]:
    """A function that reads an address, and its calls."""
    calls: list[None] = []

    def fetch() -> str:
        calls.append(None)
        with urllib.request.urlopen(url, timeout=60) as answer:
            body: bytes = answer.read()
        return body.decode()

    return fetch, calls


@loops
def test_a_port_that_comes_up_is_read(loop: Loop, waits: Waits) -> None:
    with port(http(200, "up", "text/plain"), is_open=False) as server:
        waits.then = server.open
        fetch, calls = fetching(server.url)
        assert loop(fetch) == "up"
    assert (len(calls), len(waits)) == (2, 1)


@loops
def test_a_missing_page_is_asked_for_once(loop: Loop, waits: Waits) -> None:
    with port(error(404, "no such page")) as server:
        fetch, calls = fetching(server.url)
        with pytest.raises(urllib.error.HTTPError):
            loop(fetch)
    assert (len(calls), waits) == (1, [])


def test_a_model_of_an_agent_is_asked_again(waits: Waits) -> None:
    retries = ModelRetryMiddleware(max_retries=2, retry_on=upright.is_retryable, on_failure="error")
    with port(ollama("Rayleigh"), is_open=False) as server:
        waits.then = server.open
        agent = create_agent(ChatOllama(model="a", base_url=server.url), middleware=[retries])
        assert agent.invoke(QUESTION)["messages"][-1].text == "Rayleigh"
    assert len(waits) == 1


def test_a_tool_of_an_agent_is_called_again(waits: Waits) -> None:
    retries = ToolRetryMiddleware(max_retries=2, retry_on=upright.is_retryable, on_failure="error")
    with port(http(200, "up", "text/plain"), is_open=False) as down:
        fetch, calls = fetching(down.url)
        waits.then = down.open
        look = tool("look", description="Looks.")(fetch)
        with port(ollama(tool="look"), ollama("Blue")) as server:
            agent = create_agent(ChatOllama(model="a", base_url=server.url), tools=[look], middleware=[retries])
            assert agent.invoke(QUESTION)["messages"][-2].content == "up"
    assert (len(calls), len(waits)) == (2, 1)
