"""The transport below plain httpx and httpx2, synchronous and asynchronous, and the adapter below requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import pytest

pytest.importorskip("httpx2", reason="the HTTP clients are not installed: host/python/tests/transport/run.py does it")

import httpx
import httpx2
import requests
from servers import END, LIMIT, STREAM, Answer, Asked, Server, answer, chunk, whole

import upright
from upright._errors import AnswerError, CircuitOpenError
from upright._events import BreakerMoved, GaveUp
from upright.error_recovery import CircuitBreaker, CircuitState, RetryStrategy
from upright.requests_adapter import UprightAdapter
from upright.transport import UprightTransport

CHAT = "/api/chat"
WHOLE = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}], "stream": False}
STREAMED = {**WHOLE, "stream": True}


class Reading(NamedTuple):
    """How an answer is read, by the names of `Way.ask`."""

    leave: str
    left: Callable[[], object]
    took: Callable[[str], object]


class Way:
    """An HTTP client above Upright. What came of the last request stays in its attributes."""

    def __init__(self, library: Any, strategy: RetryStrategy) -> None:
        self.library = library
        self.upright: Any = UprightTransport(strategy=strategy)
        self.strategy = strategy
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self.error: Exception | None = None

    def ask(
        self,
        url: str,
        body: Any = WHOLE,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        leave: str = "",
        left: Callable[[], object] = lambda: None,
        took: Callable[[str], object] = lambda text: None,
    ) -> Way:
        """Asks, and reads the answer as it comes until its text has `leave`.

        Calls `left` after it has closed the answer, while the client lives on.
        """
        self.status, self.headers, self.text, self.error = 0, {}, "", None
        content = json.dumps(body) if isinstance(body, (dict, list)) else body
        try:
            self._read(url, content, method, headers or {}, Reading(leave, left, took))
        except Exception as error:
            self.error = error
        return self

    def _read(self, url: str, content: Any, method: str, headers: dict[str, str], reading: Reading) -> None:
        with self.library.Client(transport=self.upright, timeout=LIMIT) as client:
            with client.stream(method, url, content=content, headers=headers) as response:
                self._begins(response)
                for piece in response.iter_bytes():
                    if self._came(piece, reading):
                        break
            reading.left()

    def _begins(self, response: Any) -> None:
        self.status, self.headers = (
            response.status_code,
            {name.lower(): text for name, text in response.headers.items()},
        )

    def _came(self, piece: bytes, reading: Reading) -> bool:
        self.text += piece.decode()
        reading.took(self.text)
        return bool(reading.leave) and reading.leave in self.text

    def one_shot(self, text: bytes) -> Any:
        """A body that can be read once."""
        return iter([text])

    @property
    def said(self) -> str:
        """The contents of the answer's lines."""
        return "".join(json.loads(line)["message"]["content"] for line in self.text.splitlines())


class AsyncWay(Way):
    def _read(self, url: str, content: Any, method: str, headers: dict[str, str], reading: Reading) -> None:
        async def read() -> None:
            async with self.library.AsyncClient(transport=self.upright, timeout=LIMIT) as client:
                async with client.stream(method, url, content=content, headers=headers) as response:
                    self._begins(response)
                    async for piece in response.aiter_bytes():
                        if self._came(piece, reading):
                            break
                await asyncio.to_thread(reading.left)

        asyncio.run(read())

    def one_shot(self, text: bytes) -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            yield text

        return pieces()


class RequestsWay(Way):
    def __init__(self, library: Any, strategy: RetryStrategy) -> None:
        super().__init__(library, strategy)
        self.upright = UprightAdapter(strategy)

    def _read(self, url: str, content: Any, method: str, headers: dict[str, str], reading: Reading) -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", self.upright)
            with session.request(
                method, url, data=content, headers=headers, stream=True, timeout=LIMIT, allow_redirects=False
            ) as response:
                self._begins(response)
                for piece in response.iter_content(None):
                    if self._came(piece, reading):
                        break
            reading.left()


WAYS: dict[str, Callable[[RetryStrategy], Way]] = {
    "httpx": lambda strategy: Way(httpx, strategy),
    "httpx async": lambda strategy: AsyncWay(httpx, strategy),
    "httpx2": lambda strategy: Way(httpx2, strategy),
    "httpx2 async": lambda strategy: AsyncWay(httpx2, strategy),
    "requests": lambda strategy: RequestsWay(requests, strategy),
}
BROKEN = {
    httpx: httpx.RemoteProtocolError,
    httpx2: httpx2.RemoteProtocolError,
    requests: requests.exceptions.ChunkedEncodingError,
}
UNSERVED = {httpx: httpx.TransportError, httpx2: httpx2.TransportError, requests: requests.ConnectionError}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param](RetryStrategy(max_retries=2))


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits of Upright, in seconds, in place of waiting."""
    recorded: list[float] = []
    asleep = asyncio.sleep

    async def sleep(delay: float, *result: Any) -> Any:
        if delay:
            recorded.append(delay)
        return await asleep(0, *result)

    monkeypatch.setattr(time, "sleep", recorded.append)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return recorded


def in_turn(*answers: Answer) -> Callable[[Asked], Answer]:
    """Gives these answers, then the last one for ever."""
    left = list(answers)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]


def reset(connection: socket.socket) -> None:
    """Breaks off without an answer."""


# Before the first content


@pytest.mark.parametrize(
    ("failed", "body"),
    [
        (answer(500, '{"error":"model runner has unexpectedly stopped"}'), WHOLE),
        (answer(200, b'{"model":"m","message":{"role":"assistant","content":"Hel"},"done":false}'), WHOLE),
        (whole(""), WHOLE),
        (whole("Hello")[:-5], WHOLE),
        (reset, WHOLE),
        (reset, STREAMED),
        (STREAM + chunk("") + END, STREAMED),
        (STREAM + chunk(""), STREAMED),
        (STREAM + chunk("", done=True) + END, STREAMED),
        (STREAM + b'1f\r\n{"error":"something is amiss"}\n\r\n' + END, STREAMED),
    ],
    ids=[
        "a status", "an answer that says it is cut", "an empty answer", "a connection cut within an answer",
        "a connection without an answer", "a connection without a stream", "a stream without content and end",
        "a cut stream without content", "a stream that ends without content", "an error line before content",
    ],
)  # fmt: skip
def test_what_fails_before_the_first_content_is_repeated_unseen(way: Way, failed: Answer, body: dict[str, Any]) -> None:
    good = STREAM + chunk("Hello") + chunk(" there", done=True) + END if body is STREAMED else whole("Hello there")
    with Server(in_turn(failed, good)) as server:
        way.ask(server.host + CHAT, body)
        assert (way.error, way.status, way.said, len(server.asked)) == (None, 200, "Hello there", 2)


def test_the_wait_that_a_server_asks_for_is_kept(way: Way, waits: list[float]) -> None:
    with Server(in_turn(answer(503, "{}", Retry_After="17"), whole("Hello"))) as server:
        way.ask(server.host + CHAT)
        assert way.said == "Hello" and way.error is None
        # Jitter only lengthens it.
        assert len(waits) == 1 and 17 <= waits[0] < 17 * 1.5


def test_an_answer_is_closed_before_the_next_attempt(way: Way) -> None:
    closed = threading.Event()

    def fails_and_stays(connection: socket.socket) -> None:
        connection.sendall(STREAM + b'1f\r\n{"error":"something is amiss"}\n\r\n')
        if connection.recv(1) == b"":
            closed.set()

    def waits_for_it(connection: socket.socket) -> None:
        if closed.wait(LIMIT):
            connection.sendall(STREAM + chunk("Hello", done=True) + END)

    with Server(in_turn(fails_and_stays, waits_for_it)) as server:
        way.ask(server.host + CHAT, STREAMED)
        assert (way.error, way.said, len(server.asked)) == (None, "Hello", 2)


def test_a_body_that_can_be_read_once_is_sent_once_and_as_it_is(way: Way) -> None:
    sent = json.dumps(WHOLE).encode()
    with Server(in_turn(answer(500, '{"error":"a runner stopped"}'), whole("Hello"))) as server:
        way.ask(server.host + CHAT, way.one_shot(sent))
        assert [asked.body for asked in server.asked] == [sent]
        assert isinstance(way.error, Exception) or way.status == 500


def test_the_answer_to_a_body_that_can_be_read_once_is_judged(way: Way) -> None:
    with Server(in_turn(STREAM + chunk("Hel") + END)) as server:
        way.ask(server.host + CHAT, way.one_shot(json.dumps(STREAMED).encode()))
        assert isinstance(way.error, AnswerError) and way.said == "Hel"
    with Server(in_turn(whole("Hello"))) as server:
        way.ask(server.host + CHAT, way.one_shot(json.dumps(WHOLE).encode()))
        assert way.error is None and way.said == "Hello"


def test_an_error_status_that_nothing_mends_is_the_servers_own_answer(way: Way) -> None:
    said = '{"error":"Compute error."}'
    with Server(in_turn(answer(500, said, X_Own="yes"))) as server:
        way.ask(server.host + CHAT)
        assert (way.error, way.status, way.text, len(server.asked)) == (None, 500, said, 3)
        assert (way.headers["x-own"], way.headers["x-should-retry"]) == ("yes", "false")


def test_an_error_line_that_nothing_mends_reaches_the_caller_before_the_exception(way: Way) -> None:
    line = b'{"error":"something is amiss"}\n'
    with Server(in_turn(STREAM + b"1f\r\n" + line + b"\r\n" + END)) as server:
        way.ask(server.host + CHAT, STREAMED)
        assert isinstance(way.error, AnswerError) and str(way.error) == "something is amiss"
        assert (way.text, len(server.asked)) == (line.decode(), 3)


def test_a_redirect_passes_as_it_is(way: Way) -> None:
    with Server(in_turn(answer(307, "", Location="/elsewhere"))) as server:
        way.ask(server.host + CHAT)
        assert (way.error, way.status, len(server.asked)) == (None, 307, 1)


def test_an_attempt_ends_at_its_time_limit(way: Way) -> None:
    way.strategy._configure(
        "operation", max_retries=1, base_delay=0.0, max_delay=0.0, backoff_factor=1.0, jitter=False,
        jitter_range=(1.0, 1.0), attempt_timeout=0.3,
    )  # fmt: skip
    with Server(in_turn(lambda connection: connection.recv(1))) as server:
        began = time.monotonic()
        way.ask(server.host + CHAT)
        # The client's own limit is longer.
        assert time.monotonic() - began < LIMIT
        assert isinstance(way.error, way.library.Timeout if way.library is requests else way.library.TimeoutException)
        assert len(server.asked) == 2


# After the first content


def test_an_answer_that_is_cut_after_its_first_content_ends_with_an_error_that_says_so(way: Way) -> None:
    for end, why in ((END, "the stream ended without `done`"), (b"", "the connection broke")):
        with Server(in_turn(STREAM + chunk("Hello") + end)) as server:
            way.ask(server.host + CHAT, STREAMED)
            assert isinstance(way.error, AnswerError) and isinstance(way.error, BROKEN[way.library])
            assert f"is not whole after 5 characters: {why}" in str(way.error)
            assert (way.said, len(server.asked)) == ("Hello", 1)
            assert way.upright.breakers[server.host].failures == 1


def test_an_error_line_of_the_server_reaches_the_caller_before_the_exception(way: Way) -> None:
    line = b'{"error":"something is amiss"}\n'
    with Server(in_turn(STREAM + chunk("Hello") + b"1f\r\n" + line + b"\r\n" + END)) as server:
        way.ask(server.host + CHAT, STREAMED)
        assert isinstance(way.error, AnswerError) and str(way.error) == "something is amiss"
        assert way.text.endswith(line.decode())


def test_a_connection_that_breaks_behind_the_end_of_an_answer_harms_nothing(way: Way) -> None:
    with Server(in_turn(STREAM + chunk("Hello", done=True))) as server:
        way.ask(server.host + CHAT, STREAMED)
        assert (way.error, way.said, len(server.asked)) == (None, "Hello", 1)


def test_pieces_pass_as_they_come_after_the_first_content(way: Way) -> None:
    came = threading.Event()

    def speaks(connection: socket.socket) -> None:
        connection.sendall(STREAM + chunk("Hello"))
        if came.wait(LIMIT):
            connection.sendall(chunk(" there", done=True) + END)

    with Server(in_turn(speaks)) as server:
        way.ask(server.host + CHAT, STREAMED, took=lambda text: came.set())
        assert (way.error, way.said) == (None, "Hello there")


class Endless:
    """Speaks once, and sees whether its connection is closed then."""

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.closed = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(STREAM + self.first)
        if connection.recv(1) == b"":
            self.closed.set()


def test_a_caller_that_leaves_a_stream_closes_its_connection_and_counts_for_nothing(way: Way) -> None:
    host = Endless(chunk("Hello"))
    with Server(in_turn(host, host, whole("Hello"))) as server:
        for _ in range(2):
            seen: list[bool] = []
            way.ask(server.host + CHAT, STREAMED, leave="Hello", left=lambda: seen.append(host.closed.wait(LIMIT)))
            assert (way.error, seen) == (None, [True])
            host.closed.clear()
            (breaker,) = way.upright.breakers.values()
            # The place of a probe is given back: the next request is one, too.
            breaker.state = CircuitState.HALF_OPEN
        assert (breaker.failures, breaker.successes) == (0, 0)
        way.ask(server.host + CHAT)
        assert way.error is None and breaker.successes == 1


def test_an_answer_whose_end_has_come_is_a_success_although_the_caller_reads_no_further(way: Way) -> None:
    host = Endless(chunk("Hello", done=True))
    with Server(in_turn(whole("Hello"), host)) as server:
        way.ask(server.host + CHAT)
        (breaker,) = way.upright.breakers.values()
        breaker.state = CircuitState.HALF_OPEN
        way.ask(server.host + CHAT, STREAMED, leave="Hello")
        assert (way.error, breaker.successes) == (None, 1)


LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@LIBRARIES
def test_a_cancelled_task_closes_its_connection(library: Any) -> None:
    host = Endless(chunk("Hello"))

    async def reads(client: Any, url: str, came: asyncio.Event) -> None:
        async with client.stream("POST", url, json=STREAMED) as response:
            async for _ in response.aiter_bytes():
                came.set()

    async def cancels(url: str) -> None:
        came = asyncio.Event()
        async with library.AsyncClient(transport=UprightTransport(), timeout=LIMIT) as client:
            task = asyncio.create_task(reads(client, url, came))
            await asyncio.wait_for(came.wait(), LIMIT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(host.closed.wait, LIMIT)

    with Server(in_turn(host)) as server:
        asyncio.run(cancels(server.host + CHAT))


@LIBRARIES
def test_a_task_that_is_cancelled_before_the_first_content_closes_its_answer(library: Any) -> None:
    events: list[str] = []

    class Silent(library.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            events.append("read")
            await asyncio.Event().wait()
            yield b""

        async def aclose(self) -> None:
            events.append("closed")

    class Inner(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            return library.Response(200, stream=Silent())

    async def cancels() -> None:
        transport = UprightTransport(Inner())
        async with library.AsyncClient(transport=transport) as client:
            task = asyncio.create_task(client.post("http://localhost" + CHAT, json=STREAMED))
            while not events:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert events == ["read", "closed"]

    asyncio.run(cancels())


# Breakers


def test_a_breaker_opens_for_its_host_alone_and_rejects_in_the_clients_own_terms(way: Way) -> None:
    way.strategy.config.max_retries = 0
    with Server(in_turn(answer(500, '{"error":"a runner stopped"}'))) as bad, Server(in_turn(whole("Hello"))) as good:
        for _ in range(5):
            assert way.ask(bad.host + CHAT).status == 500
        way.ask(bad.host + CHAT)
        assert isinstance(way.error, CircuitOpenError) and isinstance(way.error, UNSERVED[way.library])
        # The clock of rejections may lag by some milliseconds.
        assert way.error.time_left is not None and 0 < way.error.time_left < 60.1
        assert len(bad.asked) == 5
        assert way.ask(good.host + CHAT).said == "Hello"
        assert {host: breaker.phase for host, breaker in way.upright.breakers.items()} == {
            bad.host: "open",
            good.host: "closed",
        }


def test_a_strategy_without_a_breaker_means_none_for_hosts(way: Way) -> None:
    way.strategy.config.max_retries = 0
    way.strategy.circuit_breaker = None
    with Server(in_turn(answer(500, '{"error":"a runner stopped"}'))) as server:
        for _ in range(7):
            assert way.ask(server.host + CHAT).status == 500
        assert len(server.asked) == 7 and way.upright.breakers == {}


# Other requests


@pytest.mark.parametrize(("method", "asked"), [("GET", 2), ("HEAD", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)])
def test_a_broken_connection_of_another_request_is_repeated_if_its_method_is_idempotent(
    way: Way, method: str, asked: int
) -> None:
    with Server(in_turn(reset, answer(200, "" if method == "HEAD" else "[]"))) as server:
        way.ask(server.host + "/api/tags", b"" if method in ("POST", "PATCH") else None, method)
        assert (len(server.asked), way.error is None) == (asked, asked == 2)


def test_an_error_status_of_another_request_passes_at_once(way: Way) -> None:
    with Server(in_turn(answer(500, "{}"))) as server:
        way.ask(server.host + "/api/tags", None, "GET")
        assert (way.status, way.error, len(server.asked)) == (500, None, 1)
        assert "x-should-retry" not in way.headers and way.upright.breakers == {}


# The request


@pytest.mark.parametrize(
    ("path", "body", "sent"),
    [
        (CHAT, '{"model":"m","stream":false}', '{"model":"m","stream":false,"truncate":false}'),
        ("/api/generate", '{"stream":false} ', '{"stream":false,"truncate":false} '),
        ("/api/embed", "{ }", '{ "truncate":false}'),
        (CHAT, '{"Truncate":true,"stream":false}', None),
        (CHAT, '{"truncate":null,"stream":false}', '{"truncate":null,"stream":false,"truncate":false}'),
        ("/v1/chat/completions", '{"model":"m"}', None),
        ("/api/show", '{"model":"m"}', None),
        (CHAT, '{"model":', None),
    ],
)
def test_ollama_is_asked_to_refuse_what_does_not_fit(way: Way, path: str, body: str, sent: str | None) -> None:
    with Server(in_turn(answer(400, '{"error":"no"}'))) as server:
        way.ask(server.host + path, body)
        (asked,) = server.asked
        assert asked.body.decode() == (body if sent is None else sent)
        assert asked.headers["content-length"] == str(len(asked.body))


def test_a_question_that_does_not_fit_gets_a_larger_window_which_later_ones_keep(way: Way) -> None:
    refusal = {
        "code": 400,
        "message": "the request exceeds the available context size",
        "type": "exceed_context_size_error",
    }
    refused = answer(400, json.dumps({"error": {**refusal, "n_prompt_tokens": 6000, "n_ctx": 4096}}))

    def choose(asked: Asked) -> Answer:
        return whole("Hello") if asked.json.get("options", {}).get("num_ctx", 0) > 6000 else refused

    with Server(choose) as server:
        for _ in range(2):
            assert way.ask(server.host + CHAT).said == "Hello"
        assert [asked.json.get("options") for asked in server.asked] == [None, {"num_ctx": 8192}, {"num_ctx": 8192}]
        way.ask(server.host + CHAT, {**WHOLE, "options": {"num_ctx": 4096}})
        assert way.status == 400 and len(server.asked) == 4


def test_a_packed_answer_is_judged_and_arrives_unpacked(way: Way) -> None:
    def packed(plain: bytes) -> bytes:
        return answer(200, gzip.compress(plain.partition(b"\r\n\r\n")[2]), Content_Encoding="gzip")

    with Server(in_turn(packed(whole("")), packed(whole("Hello")))) as server:
        way.ask(server.host + CHAT)
        assert (way.error, way.said, len(server.asked)) == (None, "Hello", 2)


def test_a_client_that_retries_by_itself_is_named_once(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    with Server(in_turn(whole("Hello"))) as server:
        for count in ("0", "1", "2"):
            way.ask(server.host + CHAT, headers={"x-stainless-retry-count": count})
    assert [record.message for record in caplog.records if "max_retries=0" in record.message] == [
        "The client retries by itself, so that its attempts and Upright's multiply: set max_retries=0"
    ]


# Scopes and hooks


def test_a_scope_of_other_settings_holds_for_requests(way: Way) -> None:
    with Server(in_turn(answer(500, '{"error":"Compute error."}'), whole("Hello"))) as server:
        with upright.override(max_retries=0):
            assert way.ask(server.host + CHAT).status == 500
        assert way.ask(server.host + CHAT).said == "Hello"
        assert len(server.asked) == 2


def test_hooks_hear_what_is_done_under_the_name_of_the_host(way: Way, waits: list[float]) -> None:
    heard: list[Any] = []
    broken = answer(500, '{"error":"Compute error."}')
    way.strategy.circuit_breaker = CircuitBreaker(failure_threshold=2)
    with Server(in_turn(broken, whole("Hello"), STREAM + chunk("Hel") + END, broken)) as server:
        upright.add_hook(heard.append)
        try:
            way.ask(server.host + CHAT)
            way.ask(server.host + CHAT, STREAMED)
            way.ask(server.host + CHAT)
        finally:
            upright.remove_hook(heard.append)
        assert [type(event).__name__ for event in heard] == [
            *("AttemptFailed", "RetryScheduled", "Recovered"),
            *("AttemptFailed", "GaveUp"),
            *("BreakerMoved", "AttemptFailed", "GaveUp"),
        ]
        names = {event.breaker if isinstance(event, BreakerMoved) else event.operation for event in heard}
        assert names == {server.host}
        assert [event.reason for event in heard if isinstance(event, GaveUp)][0] == "first_item_is_out"


# Each library's own


def test_upright_alone_imports_no_http_client() -> None:
    program = "import sys, upright, upright.transport; print({'httpx', 'httpx2', 'requests'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_one_transport_serves_all_kinds_of_clients_and_lives_on_when_one_is_closed() -> None:
    transport = UprightTransport()
    with Server(in_turn(whole("Hello"))) as server:
        for make in (Way, AsyncWay) * 2:
            for library in (httpx, httpx2):
                way = make(library, RetryStrategy())
                way.upright = transport
                assert way.ask(server.host + CHAT).said == "Hello"


def test_a_transport_of_the_callers_own_sends_the_requests_and_is_closed() -> None:
    class Inner(httpx.HTTPTransport):
        sent = 0
        closed = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.sent += 1
            return super().handle_request(request)

        def close(self) -> None:
            self.closed += 1
            super().close()

    inner = Inner()
    with Server(in_turn(whole(""), whole("Hello"))) as server:
        with httpx.Client(transport=UprightTransport(inner)) as client:
            assert client.post(server.host + CHAT, json=WHOLE).json()["message"]["content"] == "Hello"
        assert (inner.sent, inner.closed) == (2, 1)

        async def asks() -> None:
            async with httpx.AsyncClient(transport=UprightTransport(inner)) as client:
                await client.post(server.host + CHAT, json=WHOLE)

        with pytest.raises(TypeError, match="the inner transport Inner has no handle_async_request"):
            asyncio.run(asks())


def test_a_session_of_requests_with_the_adapter_can_be_pickled() -> None:
    session = requests.Session()
    session.mount("http://", UprightAdapter(RetryStrategy(max_retries=1), pool_maxsize=3))
    copy = pickle.loads(pickle.dumps(session))
    adapter = copy.get_adapter("http://localhost")
    assert isinstance(adapter, UprightAdapter) and adapter.strategy.config.max_retries == 1
    with Server(in_turn(whole(""), whole("Hello"))) as server:
        assert copy.post(server.host + CHAT, json=WHOLE).json()["message"]["content"] == "Hello"


@pytest.mark.parametrize("size", [None, 1, 7, 1 << 16])
def test_requests_reads_a_stream_by_lines_by_size_and_raw(size: int | None) -> None:
    lines = [{"model": "m", "message": {"role": "assistant", "content": text}, "done": text == "c"} for text in "abc"]
    host = in_turn(STREAM + chunk("a") + chunk("b") + chunk("c", done=True) + END)

    def opened() -> Iterator[requests.Response]:
        with Server(host) as server, requests.Session() as session:
            session.mount("http://", UprightAdapter())
            yield session.post(server.host + CHAT, json=STREAMED, stream=True)

    for response in opened():
        assert [json.loads(line) for line in response.iter_lines()] == lines
    for response in opened():
        pieces = list(response.iter_content(size))
        assert [json.loads(line) for line in b"".join(pieces).splitlines()] == lines
        assert size is None or all(len(piece) <= size for piece in pieces)
    for response in opened():
        read = b""
        while piece := response.raw.read(size):
            assert size is None or len(piece) <= size
            read += piece
        assert [json.loads(line) for line in read.splitlines()] == lines
