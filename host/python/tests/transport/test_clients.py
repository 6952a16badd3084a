"""Unmodified clients on the transport, under each fault of a real Ollama that they take for success.

A host has the fault for one answer, or for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("llama_index", reason="the clients are not installed: host/python/tests/transport/run.py does it")

import ollama
from faults import FAULTS, Fault, host, is_streamed
from servers import END, STREAM, WHOLE, Asked, Server, chunk
from ways import CLIENTS, Client, Question, ask, ask_async

from upright.error_recovery import RetryStrategy
from upright.transport import UprightTransport

HALVES = {"once": True, "for ever": False}
LONG = "word " * 6000
OUTCOMES = ("recovered", "told", "silent", "mixed", "excepted")


def outcome(client: Client, question: Question) -> tuple[str, str]:
    """What the caller saw, and the words of its error."""
    came: list[str] = []
    words = ""
    try:
        if question.is_async:
            asyncio.run(ask_async(client, question, came))
        else:
            ask(client, question, came)
    # Whatever a client raises is its way to say that the answer failed.
    except Exception as error:
        words = " < ".join(f"{type(link).__name__}: {link}" for link in chain(error))
    text = "".join(came)
    if text == WHOLE and not words:
        return "recovered", ""
    # Only the healthy host says it.
    if "goodbye" in text:
        return "mixed", text
    return ("told", words) if words else ("silent", text)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def expected(fault: Fault, asked: Asked, healed: bool) -> str:
    """What the caller must see, by the first request that reached the host."""
    if fault.is_of_the_window:
        if asked.path.startswith("/api/"):
            # A window that the client asked for is not made larger.
            return "told" if (asked.json.get("options") or {}).get("num_ctx") else "recovered"
        # There the server cannot be asked to refuse the question, and some streams keep its length to themselves.
        return "excepted" if is_streamed(asked) else "told"
    return "recovered" if healed and not (fault.after_content and is_streamed(asked)) else "told"


def test_no_client_takes_a_fault_for_success_and_what_can_be_mended_unseen_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Hundreds of failures are meant here.
    caplog.set_level(logging.CRITICAL, "upright")
    counts: dict[str, Counter[str]] = {half: Counter() for half in HALVES}
    wrong: list[str] = []
    strategy = RetryStrategy(max_retries=2, base_delay=0.001, max_delay=0.002)
    for fault in FAULTS:
        for client in CLIENTS:
            if (
                client.path not in fault.of
                or fault.has_tools
                and client.path not in ("/api/chat", "/v1/chat/completions")
            ):
                continue
            for streamed, is_async in ((True, False), (False, False), (True, True), (False, True)):
                row = f"{fault.name:40} {client.name:17} {client.path:21}"
                row += f"{'stream' if streamed else 'whole':7}{'async' if is_async else 'sync':6}"
                for half, healed in HALVES.items():
                    with Server(host(fault, healed)) as server:
                        text = LONG if fault.is_of_the_window and client.path.startswith("/v1/") else "Hello?"
                        transport = UprightTransport(strategy=strategy)
                        question = Question(server.host, transport, text, streamed, is_async, fault.has_tools)
                        strategy.circuit_breaker.reset()
                        seen, words = outcome(client, question)
                        asked = server.asked
                        must = expected(fault, asked[0], healed)
                    if must == "excepted" and seen == "silent":
                        seen = must
                    counts[half][seen] += 1
                    row += f" {half}: {seen:10}"
                    is_said = seen != "told" or any(says in words for says in fault.says)
                    if seen != must and not (must == "excepted" and seen == "told") or not is_said:
                        wrong.append(f"{row.strip()}, must be {must}, asked {len(asked)} times: {words}")
                print(row)
    for half, count in counts.items():
        print(f"{half:9}", ", ".join(f"{name} {count[name]}" for name in OUTCOMES), f"of {count.total()}")
    assert not wrong, f"{len(wrong)} cells are wrong:\n" + "\n".join(wrong)
    assert sum(count["silent"] + count["mixed"] for count in counts.values()) == 0


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("repeated", ["Hello there, and goodbye.", "Hello to you."], ids=["equal", "other"])
def test_a_cut_stream_of_ollamas_own_client_is_finished_by_an_equal_repeat(is_async: bool, repeated: str) -> None:
    strategy = RetryStrategy(max_retries=2, base_delay=0.001, max_delay=0.002)
    cut, after = STREAM + chunk("Hello") + chunk(" th"), STREAM + chunk(repeated) + chunk("", done=True) + END
    answers = [cut, after]
    came: list[str] = []
    asking: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello?"}], "stream": True, "options": {"seed": 7}}

    async def asks(url: str) -> None:
        client = ollama.AsyncClient(url, transport=UprightTransport(strategy=strategy))
        async for piece in await client.chat("m", **asking):
            came.append(piece.message.content or "")

    with Server(lambda asked: answers.pop(0)) as server:
        try:
            if is_async:
                asyncio.run(asks(server.host))
            else:
                client = ollama.Client(server.host, transport=UprightTransport(strategy=strategy))
                came.extend(piece.message.content or "" for piece in client.chat("m", **asking))
        # The client raises what its library raises.
        except Exception as error:
            assert repeated != WHOLE and "is not whole after 8 characters" in str(error)
            assert "".join(came) == "Hello th"
        else:
            assert "".join(came) == WHOLE
    assert not answers
