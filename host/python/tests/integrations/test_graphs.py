"""Guards in graphs of LangGraph: control flow passes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from conftest import Waits
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

import upright


class State(TypedDict):
    """The state of a graph."""

    text: str


def graph_of(node: Any) -> Any:
    """A graph of one node, which can be resumed."""
    graph = StateGraph(State)
    graph.add_node("ask", node)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())


def run_sync(graph: Any, value: Any) -> Any:
    """Runs a graph."""
    return graph.invoke(value, {"configurable": {"thread_id": "1"}})


def run_async(graph: Any, value: Any) -> Any:
    """Runs a graph in a loop of events."""
    return asyncio.run(graph.ainvoke(value, {"configurable": {"thread_id": "1"}}))


def asking(calls: list[str]) -> Callable[[State], State]:
    """A node that fails once, then asks a person."""

    def ask(state: State) -> State:
        calls.append("ask")
        if len(calls) == 1:
            raise ConnectionResetError("reset")
        return {"text": str(interrupt("which colour?"))}

    return ask


def guarded(calls: list[str]) -> Any:
    """A node under guard, with a fallback that must not serve."""
    return upright.guard(fallback={"text": "fallback"})(asking(calls))


def managed(calls: list[str]) -> Any:
    """A node that a manager calls."""
    manager, ask = upright.RecoveryManager(), asking(calls)
    return lambda state: manager.execute_with_recovery(ask, state, fallback=lambda _: {"text": "fallback"})


def awaited(calls: list[str]) -> Any:
    """A node that is awaited, under guard."""
    plain = asking(calls)

    @upright.guard(fallback={"text": "fallback"})
    async def ask(state: State) -> State:
        return plain(state)

    return ask


@pytest.mark.parametrize(
    ("make", "run"), [(guarded, run_sync), (guarded, run_async), (managed, run_sync), (awaited, run_async)]
)
def test_an_interrupt_passes_a_guard_and_the_node_resumes(make: Any, run: Any, waits: Waits) -> None:
    calls: list[str] = []
    graph = graph_of(make(calls))
    stopped = run(graph, {"text": ""})
    assert [stop.value for stop in stopped["__interrupt__"]] == ["which colour?"]
    assert (len(calls), len(waits)) == (2, 1)
    assert run(graph, Command(resume="green"))["text"] == "green"
    assert (len(calls), len(waits)) == (3, 1)
