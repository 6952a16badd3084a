"""A transport for httpx and httpx2, below every client of Ollama and OpenAI that stands on them.

Neither library is imported here: a request brings its own.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from upright._drive import following, following_async
from upright._errors import AnswerError
from upright._exchange import Exchange, Guard, own, own_circuit_open
from upright._native import Attempt, Breaker, Strategy
from upright._rest import following_piece, following_piece_async, rest, rest_async

__all__ = ["UprightTransport"]

if TYPE_CHECKING:
    import httpx
    import httpx2
    from typing_extensions import Self

    class _Transport(httpx.BaseTransport, httpx.AsyncBaseTransport, httpx2.BaseTransport, httpx2.AsyncBaseTransport):
        def handle_request(self, request: Any) -> Any: ...
        async def handle_async_request(self, request: Any) -> Any: ...
        def __enter__(self) -> Self: ...
        async def __aenter__(self) -> Self: ...
else:
    _Transport = object


class UprightTransport(_Transport):
    """Sends requests through another transport, and recovers unseen while nothing of an answer has reached the caller.

    It serves synchronous and asynchronous clients of httpx and httpx2 at once:

    - `ollama.Client(transport=t)`, `ollama.AsyncClient(transport=t)`, `ChatOllama(client_kwargs={"transport": t})`
    - `OpenAI(http_client=httpx2.Client(transport=t), max_retries=0)`. Without `max_retries=0` that client repeats what
      Upright gave up, so that attempts multiply. Upright then warns once in its log.

    Where a model answers (the routes `/api/chat`, `/api/generate`, `/api/embed`, `/v1/chat/completions`,
    `/v1/completions`, `/v1/responses`, `/v1/embeddings` and `/v1/messages`):

    - Ollama is asked to refuse a question that does not fit (`truncate: false`), unless the caller set `truncate`. It
      then gets a larger window, unless the caller set `num_ctx`.
    - An answer is judged as it comes. A failed one is repeated as the policy decides, with the wait that the server
      asks for.
    - A stream of `/api/chat` or `/api/generate` that is cut after its first content is asked for again, if the request
      fixes the answer: with a `seed`, or with `temperature: 0`. The repeat is compared with what the caller has, and
      the rest follows. Where the repeat differs, and for any other stream, the answer ends with an exception.
    - Each host has a circuit breaker, with the settings of the strategy's own.
    - A body that can be read only once is sent once, as it is.

    Other requests pass. Errors of their connections are repeated, for idempotent methods alone.

    An answer that is not whole raises `AnswerError`, which is a `RemoteProtocolError` of the client's library. A
    rejected request raises `CircuitOpenError`, which is a `TransportError`. An error status or an error line that
    nothing mended is the server's own answer: the status with `x-should-retry: false`, the line with an exception
    behind it.

    `inner` sends the requests: a transport of the client's library, synchronous, asynchronous or both; `inner_async`
    takes asynchronous requests in its place. By default the library's own transports send them with their default
    settings. A client with a transport does not pass its `verify` and proxies on: give them to `inner`. `strategy`
    says how to retry. `seed` adds a random seed to streams of these two routes whose request fixes nothing. It takes
    the place of a seed in the model's own file, so it is off by default.
    """

    def __init__(
        self, inner: Any = None, strategy: Strategy | None = None, *, inner_async: Any = None, seed: bool = False
    ) -> None:
        self._guard = Guard(strategy, seed)
        self._given = {False: inner, True: inner if inner_async is None else inner_async}
        self._own: dict[tuple[str, bool], Any] = {}
        self._lock = Lock()

    @property
    def strategy(self) -> Strategy:
        """How requests are retried."""
        return self._guard.strategy

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """The breakers, by host, such as `http://127.0.0.1:11434`. Of more than 1,000 the oldest goes first."""
        return dict(self._guard.breakers)

    def handle_request(self, request: Any) -> Any:
        """Answers a synchronous request."""
        library, inner = _library(request), self._inner(request, False)
        exchange = _exchange(self._guard, library, request)
        if exchange is None:
            return inner.handle_request(request)

        def send() -> Any:
            return inner.handle_request(_request(library, request, exchange))

        try:
            while isinstance(step := following(exchange), Attempt):
                response = None
                try:
                    response = send()
                    return _bring(library, request, exchange, response, send)
                except Exception as error:
                    if response is not None:
                        _close(response)
                    exchange.failed(error)
                except BaseException:
                    if response is not None:
                        _close(response)
                    raise
            return _outcome(library, exchange, exchange.error(step))
        except BaseException:
            exchange.release()
            raise

    async def handle_async_request(self, request: Any) -> Any:
        """Answers an asynchronous request."""
        library, inner = _library(request), self._inner(request, True)
        exchange = _exchange(self._guard, library, request)
        if exchange is None:
            return await inner.handle_async_request(request)

        def send() -> Awaitable[Any]:
            return cast("Awaitable[Any]", inner.handle_async_request(_request(library, request, exchange)))

        try:
            while isinstance(step := await following_async(exchange), Attempt):
                response = None
                try:
                    response = await send()
                    return await _bring_async(library, request, exchange, response, send)
                except Exception as error:
                    if response is not None:
                        await _aclose(response)
                    exchange.failed(error)
                except BaseException:
                    if response is not None:
                        await _aclose(response)
                    raise
            return _outcome(library, exchange, exchange.error(step))
        except BaseException:
            exchange.release()
            raise

    def _inner(self, request: Any, is_async: bool) -> Any:
        method = "handle_async_request" if is_async else "handle_request"
        given = self._given[is_async]
        if given is not None:
            if not hasattr(given, method):
                raise TypeError(
                    f"the inner transport {type(given).__name__} has no {method}; expected a transport with it"
                )
            return given
        library = _library(request)
        key = library.name, is_async
        with self._lock:
            if key not in self._own:
                module = library.module
                self._own[key] = module.AsyncHTTPTransport() if is_async else module.HTTPTransport()
            return self._own[key]

    def close(self) -> None:
        """Closes the connections of synchronous clients."""
        for transport in self._taken(False):
            if hasattr(transport, "close"):
                transport.close()

    async def aclose(self) -> None:
        """Closes the connections of asynchronous clients."""
        for transport in self._taken(True):
            if hasattr(transport, "aclose"):
                await transport.aclose()

    def _taken(self, is_async: bool) -> list[Any]:
        """The inner transports of one kind. One of its own is made anew for a later request."""
        with self._lock:
            own = [self._own.pop(key) for key in list(self._own) if key[1] is is_async]
        given = self._given[is_async]
        return own if given is None else [given]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()


class _Library:
    """The library of a request, and the classes of ours that must be its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module: Any = sys.modules[name]
        self.timeout: type[Exception] = self.module.TimeoutException
        names = {"__module__": "upright"}
        self.answer = own(AnswerError, self.module.RemoteProtocolError)
        self.circuit_open = own_circuit_open(self.module.TransportError)
        streams = (self.module.SyncByteStream, self.module.AsyncByteStream)
        self.words: Any = type("Words", (_Words, *streams), dict(names))
        self.stream: Any = type("Answer", (_Answer, self.module.SyncByteStream), dict(names))
        self.stream_async: Any = type("AsyncAnswer", (_AsyncAnswer, self.module.AsyncByteStream), dict(names))

    def response(self, response: Any, stream: Any) -> Any:
        """The response with another body, which is decoded."""
        headers = response.headers
        if "content-encoding" in headers:
            dropped = (b"content-encoding", b"content-length")
            headers = [(name, value) for name, value in headers.raw if name.lower() not in dropped]
        return self.module.Response(
            response.status_code, headers=headers, stream=stream, extensions=response.extensions
        )

    def whole(self, response: Any, pieces: list[bytes]) -> Any:
        """The response with this whole body."""
        return self.response(response, self.module.ByteStream(b"".join(pieces)))


_by_name = lru_cache(maxsize=None)(_Library)


def _library(request: Any) -> _Library:
    """The library of a request, also of a program's own class of requests."""
    packages = (base.__module__.partition(".")[0] for base in type(request).__mro__)
    return _by_name(next(name for name in packages if hasattr(sys.modules.get(name), "BaseTransport")))


def _exchange(guard: Guard, library: _Library, request: Any) -> Exchange | None:
    url = request.url
    body = request.content if isinstance(request.stream, library.module.ByteStream) else None
    host = f"{url.scheme}://{url.netloc.decode('ascii')}"
    retried = request.headers.get("x-stainless-retry-count")
    return guard.exchange(library, request.method, host, url.path, body, retried)


def _request(library: _Library, request: Any, exchange: Exchange) -> Any:
    """The request of the attempt that begins."""
    body, limit = exchange.begin()
    if (body is None or body == request.content) and limit is None:
        return request
    extensions = dict(request.extensions)
    if limit is not None:
        spans = {name: None for name in ("connect", "read", "write", "pool")} | extensions.get("timeout", {})
        extensions["timeout"] = {name: limit if span is None else min(span, limit) for name, span in spans.items()}
    if body is None:
        return library.module.Request(
            request.method, request.url, headers=request.headers, stream=request.stream, extensions=extensions
        )
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _LENGTHS]
    return library.module.Request(request.method, request.url, headers=headers, content=body, extensions=extensions)


_LENGTHS = (b"content-length", b"transfer-encoding")


def _refused(library: _Library, request: Any, response: Any) -> Exception:
    status = response.status_code
    return cast(
        Exception,
        library.module.HTTPStatusError(f"the server answered with status {status}", request=request, response=response),
    )


def _outcome(library: _Library, exchange: Exchange, error: Exception) -> Any:
    """The server's own error, for the client to read as it does; any other exception is raised."""
    if exchange.own_words is not None and isinstance(error, AnswerError):
        response, pieces = exchange.own_words
        return library.response(response, library.words(pieces, error))
    if not isinstance(error, library.module.HTTPStatusError):
        raise error
    refusal: Any = getattr(error, "response")  # noqa: B009 - the class is known only when the program runs
    answer = library.whole(refusal, [refusal.content])
    # Clients of OpenAI and Anthropic would repeat what was given up.
    answer.headers.setdefault("x-should-retry", "false")
    return answer


def _bring(library: _Library, request: Any, exchange: Exchange, response: Any, send: Callable[[], Any]) -> Any:
    """The answer for the caller: a whole one, or one whose first content is there."""
    response.request = request
    if not exchange.answers(response.status_code, response.headers.get("content-type", "")):
        if exchange.judge is not None and response.status_code >= 400:
            response.read()
            raise _refused(library, request, response)
        exchange.passed()
        return response
    pieces, held = response.iter_bytes(), list[bytes]()
    while True:
        piece, broke = following_piece(pieces)
        if exchange.brought(response, held, piece, broke):
            break
    if piece is not None:
        return library.response(response, library.stream(library, exchange, response, pieces, held, send))
    _close(response)
    exchange.succeeded()
    return library.whole(response, held)


async def _bring_async(
    library: _Library, request: Any, exchange: Exchange, response: Any, send: Callable[[], Awaitable[Any]]
) -> Any:
    """`_bring` of an asynchronous answer."""
    response.request = request
    if not exchange.answers(response.status_code, response.headers.get("content-type", "")):
        if exchange.judge is not None and response.status_code >= 400:
            await response.aread()
            raise _refused(library, request, response)
        exchange.passed()
        return response
    pieces, held = response.aiter_bytes(), list[bytes]()
    while True:
        piece, broke = await following_piece_async(pieces)
        if exchange.brought(response, held, piece, broke):
            break
    if piece is not None:
        return library.response(response, library.stream_async(library, exchange, response, pieces, held, send))
    await _aclose(response)
    exchange.succeeded()
    return library.whole(response, held)


def _close(response: Any) -> None:
    """Closes a response. Its connection may be broken already."""
    with suppress(Exception):
        response.close()


async def _aclose(response: Any) -> None:
    """Closes an asynchronous response. Its connection may be broken already."""
    with suppress(Exception):
        await response.aclose()


class _Answer:
    """A streamed answer whose first content is there: its pieces pass as they come."""

    def __init__(
        self,
        library: _Library,
        exchange: Exchange,
        response: Any,
        pieces: Iterator[bytes],
        held: list[bytes],
        send: Callable[[], Any],
    ) -> None:
        self.pieces = pieces
        self._library = library
        self._exchange = exchange
        self._response = response
        self._held = held
        self._send = send

    def __iter__(self) -> Iterator[bytes]:
        held, self._held = self._held, []
        return rest(self._exchange, self, held)

    def again(self) -> None:
        """Sends the request again. Its answer takes this one's place."""
        request, response = self._response.request, self._send()
        self._response, response.request = response, request
        if not self._exchange.answers(response.status_code, ""):
            response.read()
            raise _refused(self._library, request, response)
        self.pieces = response.iter_bytes()

    def drop(self) -> None:
        """Closes the connection, which may be broken."""
        _close(self._response)

    def close(self) -> None:
        """Closes the connection, or gives it back."""
        self._exchange.left()
        self._response.close()


class _Words:
    """A server's own words about its failure. A client that does not understand them gets the exception."""

    def __init__(self, pieces: list[bytes], error: Exception) -> None:
        self._pieces = pieces
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        raise self._error


class _AsyncAnswer:
    """`_Answer` of an asynchronous client."""

    def __init__(
        self,
        library: _Library,
        exchange: Exchange,
        response: Any,
        pieces: AsyncIterator[bytes],
        held: list[bytes],
        send: Callable[[], Awaitable[Any]],
    ) -> None:
        self.pieces = pieces
        self._library = library
        self._exchange = exchange
        self._response = response
        self._held = held
        self._send = send

    def __aiter__(self) -> AsyncIterator[bytes]:
        held, self._held = self._held, []
        return rest_async(self._exchange, self, held)

    async def again(self) -> None:
        """Sends the request again. Its answer takes this one's place."""
        request, response = self._response.request, await self._send()
        self._response, response.request = response, request
        if not self._exchange.answers(response.status_code, ""):
            await response.aread()
            raise _refused(self._library, request, response)
        self.pieces = response.aiter_bytes()

    async def drop(self) -> None:
        """Closes the connection, which may be broken."""
        await _aclose(self._response)

    async def aclose(self) -> None:
        """Closes the connection, or gives it back."""
        self._exchange.left()
        await self._response.aclose()
