"""Runnables under guard: real clients in real chains."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from conftest import Waits
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda
from langchain_ollama import ChatOllama
from langgraph.errors import GraphInterrupt
from loopback import error, ollama, port

import upright
from upright.langchain import guarded

BUSY = error(503, "busy")


class Tags(BaseCallbackHandler):
    """Keeps the tags of each call of a model."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def on_chat_model_start(self, *_: Any, tags: list[str] | None = None, **__: Any) -> None:
        """A call begins."""
        self.seen.append([tag for tag in tags or () if tag.startswith("upright:")])


def model(url: str) -> Runnable[Any, Any]:
    """A model under guard."""
    return guarded(ChatOllama(model="a", base_url=url), max_retries=2)


async def chunks_of(stream: Any) -> list[Any]:
    """All chunks of a stream."""
    return [chunk async for chunk in stream]


def invoke(runnable: Any, config: Any = None) -> list[Any]:
    return [runnable.invoke("hi", config)]


def ainvoke(runnable: Any, config: Any = None) -> list[Any]:
    return [asyncio.run(runnable.ainvoke("hi", config))]


def stream(runnable: Any, config: Any = None) -> list[Any]:
    return list(runnable.stream("hi", config))


def astream(runnable: Any, config: Any = None) -> list[Any]:
    return asyncio.run(chunks_of(runnable.astream("hi", config)))


def batch(runnable: Any, config: Any = None) -> list[Any]:
    return list(runnable.batch(["hi"], config))


def abatch(runnable: Any, config: Any = None) -> list[Any]:
    return list(asyncio.run(runnable.abatch(["hi"], config)))


ways = pytest.mark.parametrize("way", [invoke, ainvoke, stream, astream, batch, abatch])


def text(chunks: list[Any]) -> str:
    return "".join(chunk if isinstance(chunk, str) else chunk.text for chunk in chunks)


@ways
def test_a_model_is_asked_again_and_callbacks_see_which_attempt_it_is(way: Any, waits: Waits) -> None:
    tags = Tags()
    with port(BUSY, BUSY, ollama("Ray", "leigh")) as server:
        assert text(way(model(server.url), {"callbacks": [tags], "tags": ["own"]})) == "Rayleigh"
    assert tags.seen == [[], ["upright:attempt:2"], ["upright:attempt:3"]]
    assert len(waits) == 2


@ways
def test_a_guarded_model_is_a_step_of_a_chain(way: Any, waits: Waits) -> None:
    with port(BUSY, ollama("Ray", "leigh")) as server:
        chain = ChatPromptTemplate.from_template("Say {it}") | model(server.url) | StrOutputParser()
        assert text(way(RunnableLambda(lambda value: {"it": value}) | chain)) == "Rayleigh"


@ways
def test_the_last_exception_comes_out_as_it_is(way: Any, waits: Waits) -> None:
    failure = ConnectionResetError("reset")

    def fail(value: str) -> str:
        raise failure

    with pytest.raises(ConnectionResetError) as caught:
        way(guarded(RunnableLambda(fail), max_retries=1))
    assert caught.value is failure
    assert len(waits) == 1


@pytest.mark.parametrize("way", [stream, astream])
def test_a_chain_streams_through_a_guard(way: Any, waits: Waits) -> None:
    with port(BUSY, ollama("Ray", "leigh")) as server:
        chunks = way(model(server.url) | StrOutputParser())
    assert [chunk for chunk in chunks if chunk] == ["Ray", "leigh"]


def test_a_stream_is_not_retried_after_its_first_chunk(waits: Waits) -> None:
    got: list[str] = []
    with port(ollama("Ray", is_whole=False, is_cut=True)) as server, pytest.raises(httpx.RemoteProtocolError):
        for chunk in model(server.url).stream("hi"):
            got.append(chunk.text)
    assert (got, waits, len(server.bodies)) == (["Ray"], [], 1)


def test_an_asynchronous_stream_is_not_retried_after_its_first_chunk(waits: Waits) -> None:
    got: list[str] = []

    async def read(url: str) -> None:
        async for chunk in model(url).astream("hi"):
            got.append(chunk.text)

    with port(ollama("Ray", is_whole=False, is_cut=True)) as server, pytest.raises(httpx.RemoteProtocolError):
        asyncio.run(read(server.url))
    assert (got, waits, len(server.bodies)) == (["Ray"], [], 1)


def test_a_reader_that_stops_closes_the_stream(waits: Waits) -> None:
    closed: list[str] = []

    def one(_: Any) -> Any:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append("sync")

    async def other(_: Any) -> Any:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append("async")

    runnable: Runnable[Any, str] = guarded(RunnableGenerator(one, other))
    reader: Any = runnable.stream("hi")
    assert next(reader) == "a"
    reader.close()

    async def stop() -> None:
        reader: Any = runnable.astream("hi")
        assert await reader.__anext__() == "a"
        await reader.aclose()
        assert closed == ["sync", "async"]

    asyncio.run(stop())


def test_each_input_of_a_batch_is_retried_by_itself(waits: Waits) -> None:
    calls: list[str] = []

    def once_broken(value: str) -> str:
        calls.append(value)
        if value == "b" and calls.count("b") == 1:
            raise ConnectionResetError("reset")
        return value.upper()

    assert guarded(RunnableLambda(once_broken)).batch(["a", "b", "c"]) == ["A", "B", "C"]
    assert sorted(calls) == ["a", "b", "b", "c"]


@ways
def test_control_flow_of_a_graph_passes(way: Any, waits: Waits) -> None:
    calls: list[None] = []

    def stop(value: str) -> str:
        calls.append(None)
        raise GraphInterrupt(())

    with pytest.raises(GraphInterrupt):
        way(guarded(RunnableLambda(stop), pass_through=KeyError))
    assert (len(calls), waits) == (1, [])


def test_a_strategy_and_its_breaker_serve_all_ways_to_run_it(waits: Waits) -> None:
    strategy = upright.RetryStrategy(max_retries=0)
    strategy.circuit_breaker = upright.CircuitBreaker(failure_threshold=4)
    with port(BUSY) as server:
        runnable = guarded(ChatOllama(model="a", base_url=server.url), strategy=strategy)
        for way in (invoke, ainvoke, stream, astream):
            with pytest.raises(Exception, match="busy"):
                way(runnable)
        with pytest.raises(upright.CircuitOpenError):
            runnable.invoke("hi")
        assert len(server.bodies) == 4


def test_it_has_the_name_and_schemas_of_what_it_guards() -> None:
    plain = RunnableLambda(lambda value: value, name="step")
    runnable = guarded(plain)
    assert (runnable.get_name(), runnable.get_input_jsonschema()) == ("step", plain.get_input_jsonschema())
    assert (runnable.InputType, runnable.OutputType) == (plain.InputType, plain.OutputType)
