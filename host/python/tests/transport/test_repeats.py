"""Streams that are cut after their first content, and finished by a repeat of an equal request."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="the HTTP clients are not installed: host/python/tests/transport/run.py does it")

import httpx
import httpx2
from servers import END, LIMIT, STREAM, Answer, Server, answer, chunk, whole
from test_http import BROKEN, CHAT, LIBRARIES, STREAMED, WHOLE, WAYS, Endless, Way, in_turn, reset, waits

import upright
from upright._errors import AnswerError
from upright._events import GaveUp
from upright.error_recovery import CircuitState, RetryStrategy
from upright.requests_adapter import UprightAdapter
from upright.transport import UprightTransport

__all__ = ["waits"]

FIXED = {**STREAMED, "options": {"seed": 7}}
BEGUN = STREAM + chunk("Hello") + chunk(" th")
ALL = "Hello there, and goodbye."
REPEATED = STREAM + chunk("Hel") + chunk("lo there, ") + chunk("and goodbye.") + chunk("", done=True) + END
"""All of the answer, in other pieces."""
OTHER = STREAM + chunk("Hello t") + chunk("o you.") + chunk("", done=True) + END


def line(text: bytes) -> bytes:
    """A piece of a stream with these bytes."""
    return b"%x\r\n%b\r\n" % (len(text), text)


ERROR = b'{"error":"something is amiss"}\n'
CUTS: dict[str, bytes] = {
    "the connection breaks": BEGUN,
    "an end without done": BEGUN + END,
    "an end within a line": BEGUN + line(b'{"model":"m","message":{"role":"assis') + END,
    "an error line": BEGUN + line(ERROR) + END,
    "an error line in two pieces": BEGUN + line(ERROR[:9]) + line(ERROR[9:]) + END,
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param](RetryStrategy(max_retries=2))


def seeding(way: Way) -> Way:
    """The same client above a transport that adds seeds."""
    way.upright = type(way.upright)(strategy=way.strategy, seed=True)
    return way


def reason(error: Exception | None) -> str | None:
    failure = upright.failure_of(error) if error is not None else None
    return failure.reason if failure is not None else None


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_cut_answer_is_finished_by_a_repeat_if_the_request_has_a_seed(
    way: Way, cut: bytes, waits: list[float]
) -> None:
    with Server(in_turn(cut, REPEATED)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert (way.error, way.said, len(server.asked), len(waits)) == (None, ALL, 2, 1)
        assert server.asked[0].body == server.asked[1].body
        assert way.text.count("Hel") == 1 and way.text.endswith("\n")


def test_a_cut_answer_is_finished_by_a_repeat_if_the_temperature_is_0(way: Way) -> None:
    with Server(in_turn(BEGUN, REPEATED)) as server:
        way.ask(server.host + CHAT, {**STREAMED, "options": {"temperature": 0}})
        assert (way.error, way.said, len(server.asked)) == (None, ALL, 2)


def test_a_cut_completion_is_finished_by_a_repeat(way: Way) -> None:
    def said(*texts: str) -> bytes:
        return b"".join(line(json.dumps({"response": text, "done": not text}).encode() + b"\n") for text in texts)

    with Server(in_turn(STREAM + said("Hello", " th"), STREAM + said("Hello there", "") + END)) as server:
        way.ask(server.host + "/api/generate", {"model": "m", "prompt": "Hello?", "options": {"seed": 7}})
        assert way.error is None and len(server.asked) == 2
        assert "".join(json.loads(one)["response"] for one in way.text.splitlines()) == "Hello there"


def test_a_stream_that_falls_silent_is_finished_by_a_repeat(way: Way) -> None:
    way.strategy._configure(
        "operation", max_retries=1, base_delay=0.0, max_delay=0.0, backoff_factor=1.0, jitter=False,
        jitter_range=(1.0, 1.0), attempt_timeout=0.3,
    )  # fmt: skip
    with Server(in_turn(Endless(chunk("Hello") + chunk(" th")), REPEATED)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert (way.error, way.said, len(server.asked)) == (None, ALL, 2)


@pytest.mark.parametrize(
    "between",
    [reset, answer(500, '{"error":"a runner stopped"}'), STREAM + chunk("Hello there,"), STREAM + chunk("H") + END],
    ids=["no answer", "a status", "a cut further on", "a cut before the caller's end"],
)
def test_a_repeat_that_fails_is_repeated(way: Way, between: Answer) -> None:
    with Server(in_turn(BEGUN, between, REPEATED)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert (way.error, way.said, len(server.asked)) == (None, ALL, 3)


def test_a_repeat_that_is_refused_waits_as_the_server_asks(way: Way, waits: list[float]) -> None:
    with Server(in_turn(BEGUN, answer(503, "{}", Retry_After="17"), REPEATED)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert (way.error, way.said, len(waits)) == (None, ALL, 2)
        # Jitter only lengthens it.
        assert 17 <= waits[1] < 17 * 1.5


@pytest.mark.parametrize(
    "other",
    [OTHER, STREAM + chunk("Hello") + chunk("", done=True) + END, STREAM + chunk("Sky") + chunk("", done=True) + END],
    ids=["another word", "an earlier end", "another beginning"],
)
def test_a_repeat_with_other_words_raises_the_cut_and_never_mixes_two_texts(way: Way, other: bytes) -> None:
    heard: list[Any] = []
    with Server(in_turn(BEGUN, other, REPEATED)) as server:
        upright.add_hook(heard.append)
        try:
            way.ask(server.host + CHAT, FIXED)
        finally:
            upright.remove_hook(heard.append)
        assert isinstance(way.error, AnswerError) and isinstance(way.error, BROKEN[way.library])
        assert "is not whole after 8 characters: the connection broke" in str(way.error)
        assert (way.said, len(server.asked), reason(way.error)) == ("Hello th", 2, "answer_cut")
        # The host answered the second time.
        assert way.upright.breakers[server.host].failures == 1
        failures = [str(event.error) for event in heard if not isinstance(event, GaveUp) and hasattr(event, "error")]
        assert failures == [str(way.error), "the repeated answer differs from what the client has"]
        assert [event.error for event in heard if isinstance(event, GaveUp)] == [way.error]


@pytest.mark.parametrize(
    "then",
    [BEGUN, reset, answer(500, '{"error":"a runner stopped"}'), BEGUN + line(ERROR) + END],
    ids=["the cut", "no answer", "a status", "an error line"],
)
def test_the_cut_is_raised_where_no_attempt_is_left(way: Way, then: Answer) -> None:
    with Server(in_turn(BEGUN, then)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert isinstance(way.error, AnswerError) and "is not whole after 8 characters" in str(way.error)
        assert (way.said, len(server.asked), reason(way.error)) == ("Hello th", 3, "attempts_exhausted")
        assert len(getattr(way.error, "__notes__", ["one"])) == 1


def test_an_error_line_that_no_repeat_mends_reaches_the_caller_once_before_the_exception(way: Way) -> None:
    with Server(in_turn(BEGUN + line(ERROR) + END)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert isinstance(way.error, AnswerError) and str(way.error) == "something is amiss"
        assert way.text.endswith(ERROR.decode()) and way.text.count("amiss") == 1 and len(server.asked) == 3


def test_an_open_breaker_lets_no_repeat_through_and_the_cut_is_raised(way: Way) -> None:
    way.strategy.circuit_breaker = upright.CircuitBreaker(failure_threshold=1)
    with Server(in_turn(BEGUN, REPEATED)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert isinstance(way.error, AnswerError)
        assert (way.said, len(server.asked), reason(way.error)) == ("Hello th", 1, "circuit_open")


@pytest.mark.parametrize("options", [None, {}, {"temperature": 0.7}, {"seed": None}], ids=str)
def test_an_answer_that_nothing_fixes_is_not_repeated(way: Way, options: Any) -> None:
    with Server(in_turn(BEGUN, REPEATED)) as server:
        way.ask(server.host + CHAT, {**STREAMED, "options": options})
        assert isinstance(way.error, AnswerError)
        assert (way.said, len(server.asked), reason(way.error)) == ("Hello th", 1, "first_item_is_out")


def test_a_body_that_can_be_read_once_is_not_repeated(way: Way) -> None:
    with Server(in_turn(BEGUN, REPEATED)) as server:
        way.ask(server.host + CHAT, way.one_shot(json.dumps(FIXED).encode()))
        assert isinstance(way.error, AnswerError) and (way.said, len(server.asked)) == ("Hello th", 1)


def test_a_stream_of_another_protocol_is_not_repeated(way: Way) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
    with Server(in_turn(STREAM.replace(b"x-ndjson", b"event-stream") + line(event) + END)) as server:
        way.ask(server.host + "/v1/chat/completions", {**STREAMED, "seed": 7, "temperature": 0})
        assert isinstance(way.error, AnswerError)
        assert (way.text, len(server.asked)) == (event.decode(), 1)


def test_an_answer_that_the_server_stopped_as_a_repetition_is_not_repeated(way: Way) -> None:
    with Server(in_turn(STREAM + chunk("no ") * 40 + END, REPEATED)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert isinstance(way.error, AnswerError) and "token repeat limit" in str(way.error)
        assert len(server.asked) == 1


def test_a_repeat_asks_for_the_window_of_the_first_attempt(way: Way) -> None:
    error = {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error"}
    refused = answer(400, json.dumps({"error": {**error, "n_prompt_tokens": 6000, "n_ctx": 4096}}))
    with Server(in_turn(refused, BEGUN, REPEATED)) as server:
        way.ask(server.host + CHAT, FIXED)
        assert (way.error, way.said) == (None, ALL)
        assert [asked.json["options"].get("num_ctx") for asked in server.asked] == [None, 8192, 8192]


def test_pieces_behind_the_callers_part_pass_as_they_come(way: Way) -> None:
    came = threading.Event()

    def speaks(connection: socket.socket) -> None:
        connection.sendall(STREAM + chunk("Hello there,"))
        if came.wait(LIMIT):
            connection.sendall(chunk(" and goodbye.", done=True) + END)

    def took(text: str) -> None:
        if "ere," in text:
            came.set()

    with Server(in_turn(BEGUN, speaks)) as server:
        way.ask(server.host + CHAT, FIXED, took=took)
        assert (way.error, way.said) == (None, ALL)


def test_a_caller_that_leaves_during_a_repeat_closes_its_connection_and_counts_for_nothing(way: Way) -> None:
    host = Endless(chunk("Hello there,"))

    def breaks(connection: socket.socket) -> None:
        connection.sendall(BEGUN)
        # The repeat is a probe.
        way.upright.breakers[server.host].state = CircuitState.HALF_OPEN

    with Server(in_turn(breaks, host, whole("Hello"))) as server:
        seen: list[bool] = []
        way.ask(server.host + CHAT, FIXED, leave="ere,", left=lambda: seen.append(host.closed.wait(LIMIT)))
        assert (way.error, seen, len(server.asked)) == (None, [True], 2)
        breaker = way.upright.breakers[server.host]
        assert (breaker.state, breaker.successes) == (CircuitState.HALF_OPEN, 0)
        # Its place was given back.
        way.ask(server.host + CHAT, WHOLE)
        assert way.error is None and breaker.successes == 1


@LIBRARIES
def test_a_task_that_is_cancelled_during_a_repeat_closes_its_connection(library: Any) -> None:
    host = Endless(chunk("Hel"))
    begun = threading.Event()

    def repeats(connection: socket.socket) -> None:
        begun.set()
        host(connection)

    async def cancels(url: str) -> None:
        async with library.AsyncClient(transport=UprightTransport(), timeout=LIMIT) as client:

            async def reads() -> None:
                async with client.stream("POST", url, json=FIXED) as response:
                    async for _ in response.aiter_bytes():
                        pass

            task = asyncio.create_task(reads())
            assert await asyncio.to_thread(begun.wait, LIMIT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(host.closed.wait, LIMIT)

    with Server(in_turn(BEGUN, repeats)) as server:
        asyncio.run(cancels(server.host + CHAT))


def test_hooks_hear_of_a_repeat_that_finishes_an_answer(way: Way) -> None:
    heard: list[Any] = []
    with Server(in_turn(BEGUN, REPEATED)) as server:
        upright.add_hook(heard.append)
        try:
            way.ask(server.host + CHAT, FIXED)
        finally:
            upright.remove_hook(heard.append)
        assert [type(event).__name__ for event in heard] == ["AttemptFailed", "RetryScheduled", "Recovered"]


# Seeds of the transport's own


def test_a_seed_is_added_where_the_caller_wishes_it_and_the_repeat_has_the_same(way: Way) -> None:
    with Server(in_turn(BEGUN, REPEATED)) as server:
        seeding(way).ask(server.host + CHAT, {**STREAMED, "options": {"top_k": 5}})
        assert (way.error, way.said) == (None, ALL)
        first, second = (asked.json["options"] for asked in server.asked)
        assert first == second and first["top_k"] == 5 and 0 < first["seed"] < 2**31


def test_an_unseen_retry_has_another_seed(way: Way) -> None:
    with Server(in_turn(STREAM + chunk("", done=True) + END, REPEATED)) as server:
        seeding(way).ask(server.host + CHAT, STREAMED)
        assert (way.error, way.said) == (None, ALL)
        assert len({asked.json["options"]["seed"] for asked in server.asked}) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {**STREAMED, "options": {"seed": 0}}),
        (CHAT, {**STREAMED, "OPTIONS": {"Seed": 7}}),
        (CHAT, {**STREAMED, "options": {"temperature": 0}}),
        (CHAT, {**STREAMED, "options": {"temperature": 0.0, "seed": 1}}),
        (CHAT, WHOLE),
        (CHAT, {"model": "m", "messages": []}),
        ("/api/embed", {"model": "m", "input": "Hello?"}),
        ("/v1/chat/completions", STREAMED),
    ],
    ids=["seed 0", "keys in other case", "temperature 0", "both", "not streamed", "no question", "embed", "/v1"],
)
def test_no_seed_is_added_to_another_request(way: Way, path: str, body: dict[str, Any]) -> None:
    with Server(in_turn(answer(400, '{"error":"no"}'))) as server:
        seeding(way).ask(server.host + path, body)
        sent = {name: value for name, value in server.asked[0].json.items() if name != "truncate"}
        assert sent == body


def test_no_seed_is_added_by_default(way: Way) -> None:
    with Server(in_turn(REPEATED)) as server:
        way.ask(server.host + CHAT, STREAMED)
        assert (way.error, "options" in server.asked[0].json) == (None, False)


def test_an_adapter_that_adds_seeds_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(UprightAdapter(seed=True))).seed is True
    assert pickle.loads(pickle.dumps(UprightAdapter())).seed is False
