"""An adapter for `requests`, which recovers as `upright.transport.UprightTransport` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ConnectionError, HTTPError, Timeout

from upright._drive import following
from upright._errors import AnswerError
from upright._exchange import Exchange, Guard, own, own_circuit_open
from upright._native import Attempt, Breaker, Strategy
from upright._rest import following_piece, rest

__all__ = ["UprightAdapter"]


class UprightAdapter(HTTPAdapter):
    """Sends requests, and recovers unseen while nothing of an answer has reached the caller.

    `session.mount("http://localhost:11434", UprightAdapter())`. What `UprightTransport` promises holds here, too. An
    answer that is not whole raises `AnswerError`, which is a `ChunkedEncodingError`. A rejected request raises
    `CircuitOpenError`, which is a `requests.ConnectionError`.

    `strategy` and `seed` mean what they mean for `UprightTransport`; other settings are those of `HTTPAdapter`.
    """

    __attrs__ = [*HTTPAdapter.__attrs__, "strategy", "seed"]

    def __init__(self, strategy: Strategy | None = None, *, seed: bool = False, **settings: Any) -> None:
        self._guard = Guard(strategy, seed)
        super().__init__(**settings)

    @property
    def strategy(self) -> Strategy:
        """How requests are retried."""
        return self._guard.strategy

    @property
    def seed(self) -> bool:
        """Whether streams whose request fixes nothing get a random seed."""
        return self._guard.seed

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """The breakers, by host, such as `http://127.0.0.1:11434`. Of more than 1,000 the oldest goes first."""
        return dict(self._guard.breakers)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._guard = Guard(state.pop("strategy"), state.pop("seed"))
        super().__setstate__(state)  # type: ignore[misc]

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """Answers a request."""
        exchange = _exchange(self._guard, request)
        to_server = super().send
        if exchange is None:
            return to_server(request, stream, timeout, verify, cert, proxies)

        def send() -> Response:
            sent, limit = _request(request, exchange)
            return to_server(sent, stream, _within(limit, timeout), verify, cert, proxies)

        try:
            while isinstance(step := following(exchange), Attempt):
                response = None
                try:
                    response = send()
                    return self._bring(request, exchange, response, send)
                except Exception as error:
                    if response is not None:
                        _close(response)
                    exchange.failed(error)
                except BaseException:
                    if response is not None:
                        _close(response)
                    raise
            return self._outcome(request, exchange, exchange.error(step))
        except BaseException:
            exchange.release()
            raise

    def _bring(
        self, request: PreparedRequest, exchange: Exchange, response: Response, send: Callable[[], Response]
    ) -> Response:
        """The answer for the caller: a whole one, or one whose first content is there."""
        if not exchange.answers(response.status_code, response.headers.get("content-type", "")):
            if exchange.judge is not None and response.status_code >= 400:
                raise _refused(response)
            exchange.passed()
            return response
        source, held = _Source(exchange, response, send), list[bytes]()
        while True:
            piece, broke = following_piece(source.pieces)
            if exchange.brought(source, held, piece, broke):
                break
        if piece is not None:
            return self._answer(request, source, [], rest(exchange, source, held))
        exchange.succeeded()
        return self._answer(request, source, held, iter(()))

    def _outcome(self, request: PreparedRequest, exchange: Exchange, error: Exception) -> Response:
        """The server's own error, for the client to read as it does; any other exception is raised."""
        if exchange.own_words is not None and isinstance(error, AnswerError):
            source, pieces = exchange.own_words
            return self._answer(request, source, pieces, _raising(error))
        if not isinstance(error, HTTPError) or error.response is None:
            raise error
        error.response.headers.setdefault("x-should-retry", "false")
        return error.response

    def _answer(
        self, request: PreparedRequest, source: _Source, held: list[bytes], rest: Iterator[bytes]
    ) -> Response:
        raw: Any = _Raw(source, held, rest)
        return self.build_response(request, raw)


class _Errors:
    """Exceptions of `requests`, and ours that must be its own."""

    timeout: type[Exception] = Timeout
    answer = own(AnswerError, ChunkedEncodingError)
    circuit_open = own_circuit_open(ConnectionError)


_ERRORS = _Errors()


class _Source:
    """An answer on its way from the server."""

    def __init__(self, exchange: Exchange, response: Response, send: Callable[[], Response]) -> None:
        self.exchange = exchange
        self.response = response
        self.pieces: Iterator[bytes] = response.iter_content(None)
        self._send = send

    def again(self) -> None:
        """Sends the request again. Its answer takes this one's place."""
        self.response = response = self._send()
        if not self.exchange.answers(response.status_code, ""):
            raise _refused(response)
        self.pieces = response.iter_content(None)

    def drop(self) -> None:
        """Closes the connection, which may be broken."""
        _close(self.response)


class _Raw:
    """The body of an answer, decoded, in place of urllib3's own response."""

    def __init__(self, source: _Source, held: list[bytes], rest: Iterator[bytes]) -> None:
        self._source = source
        self._held = held
        self._rest = rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source.response.raw, name)

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """The pieces as they come, of at most `amt` bytes."""
        while (piece := self._next()) is not None:
            for start in range(0, len(piece), amt or len(piece) or 1):
                yield piece[start : start + amt] if amt else piece

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """The next `amt` bytes, or all."""
        read = b""
        while (amt is None or len(read) < amt) and (piece := self._next()) is not None:
            read += piece
        if amt is not None and len(read) > amt:
            self._held.insert(0, read[amt:])
            read = read[:amt]
        return read

    def _next(self) -> bytes | None:
        return self._held.pop(0) if self._held else next(self._rest, None)

    def close(self) -> None:
        """Closes the connection, or gives it back."""
        self._source.exchange.left()
        self._source.response.close()

    def release_conn(self) -> None:
        """Gives the connection back."""
        self._source.response.raw.release_conn()


def _refused(response: Response) -> Exception:
    response.content  # noqa: B018 - reads it
    return HTTPError(f"the server answered with status {response.status_code}", response=response)


def _raising(error: Exception) -> Iterator[bytes]:
    yield from ()
    raise error


def _exchange(guard: Guard, request: PreparedRequest) -> Exchange | None:
    url = urlsplit(request.url or "")
    body = cast("object", request.body)  # Its annotation leaves out what is read piece by piece.
    if body is None or isinstance(body, (bytes, str)):
        read = body.encode() if isinstance(body, str) else bytes(body or b"")
    else:
        read = None
    host = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    retried: object = request.headers.get("x-stainless-retry-count")
    return guard.exchange(_ERRORS, request.method or "", host, url.path, read, None if retried is None else str(retried))


def _request(request: PreparedRequest, exchange: Exchange) -> tuple[PreparedRequest, float | None]:
    """The request of the attempt that begins, and its time limit in seconds."""
    body, limit = exchange.begin()
    if body is None:
        return request, limit
    sent = request.copy()
    sent.body = body
    sent.prepare_content_length(body)
    return sent, limit


def _within(limit: float | None, timeout: float | tuple[float | None, ...] | None) -> Any:
    """The caller's time limits, each at most this one."""
    if limit is None:
        return timeout
    spans = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    return tuple(limit if span is None else min(span, limit) for span in spans)


def _close(response: Response) -> None:
    """Closes a response. Its connection may be broken already."""
    with suppress(Exception):
        response.close()
