"""Cut answers, below LangChain: with `UprightTransport`, none passes for a whole one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from conftest import Waits
from langchain.agents import create_agent
from langchain_ollama import ChatOllama
from loopback import ollama, port

from upright.transport import UprightTransport

CUT, WHOLE = ollama("Ray", is_whole=False), ollama("Ray", "leigh")


def run_sync(agent: Any) -> str:
    """The answer of an agent."""
    answer: str = agent.invoke({"messages": [("user", "hi")]})["messages"][-1].text
    return answer


def run_async(agent: Any) -> str:
    """The answer of an agent, in a loop of events."""
    result = asyncio.run(agent.ainvoke({"messages": [("user", "hi")]}))
    answer: str = result["messages"][-1].text
    return answer


runs = pytest.mark.parametrize("run", [run_sync, run_async])


def model(url: str) -> ChatOllama:
    """A model whose client has the transport."""
    return ChatOllama(model="a", base_url=url, client_kwargs={"transport": UprightTransport()})


@runs
def test_without_the_transport_a_cut_answer_passes_for_a_whole_one(run: Callable[[Any], str], waits: Waits) -> None:
    with port(CUT) as server:
        assert run(create_agent(ChatOllama(model="a", base_url=server.url))) == "Ray"


@runs
def test_with_the_transport_a_cut_answer_is_an_exception(run: Callable[[Any], str], waits: Waits) -> None:
    with port(CUT) as server, pytest.raises(httpx.RemoteProtocolError):
        run(create_agent(model(server.url)))


@runs
def test_with_the_transport_a_server_that_comes_up_answers(run: Callable[[Any], str], waits: Waits) -> None:
    with port(WHOLE, is_open=False) as server:
        waits.then = server.open
        assert run(create_agent(model(server.url))) == "Rayleigh"
    assert len(waits) == 1


def test_a_stream_that_is_cut_ends_with_an_exception(waits: Waits) -> None:
    got: list[str] = []
    with port(CUT) as server, pytest.raises(httpx.RemoteProtocolError):
        for chunk in model(server.url).stream("hi"):
            got.append(chunk.text)
    assert "".join(got) == "Ray"
