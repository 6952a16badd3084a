"""Failures of general HTTP clients: requests, httpx, httpx2, aiohttp."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import aiohttp
import httpx
import httpx2
import requests
import servers
import urllib3
from cases_python import certificate
from matrix import (
    BUSY_POOL,
    CUT,
    DNS,
    INPUT,
    LASTING_STATUS,
    LONG,
    MODEL_TOO_LARGE,
    PASSING_STATUS,
    REFUSED,
    RESET,
    SHORT,
    TIMEOUT,
    TLS,
    UNREADABLE,
    WEB_PAGE,
    Absent,
    fails,
    version,
)

MEMORY = {"error": "model requires more system memory (164.8 GiB) than is available (13.4 GiB)"}
NOT_FOUND = {"error": "model 'qwen3:8b' not found"}

Behaviour = servers.Behaviour


def got(behaviour: Behaviour, use: Callable[[str], Any]) -> Any:
    """Uses a server that behaves like this."""
    with servers.serving(behaviour) as address:
        return use(address)


# requests


def asked(
    address: str, path: str = "/", scheme: str = "http", timeout: float = LONG, **options: Any
) -> requests.Response:
    """A request without the proxies of the environment."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{scheme}://{address}{path}", timeout=timeout, **options)


def requests_fails(name: str, expected: Any, behaviour: Behaviour, path: str = "/", **facts: object) -> None:
    """Registers a request whose answer is checked and read."""

    def run() -> None:
        response = got(behaviour, lambda address: asked(address, path))
        response.raise_for_status()
        response.json()

    fails(f"requests: {name}", expected, **facts)(run)


def dated(status: int, seconds: int) -> Behaviour:
    """An answer of 1994 that asks to wait until a date."""
    day = "Sun, 06 Nov 1994 08:49"
    return servers.answering(status, date=f"{day}:00 GMT", retry_after=f"{day}:{seconds} GMT")


requests_fails("server closes", RESET, servers.closing)
requests_fails("server resets", RESET, servers.resetting)
requests_fails("broken chunk", CUT, servers.sending(servers.BROKEN_CHUNK))
requests_fails("another protocol", UNREADABLE, servers.sending(servers.BANNER))
requests_fails("invalid JSON", UNREADABLE, servers.answering(200, "{"))
requests_fails("401", LASTING_STATUS, servers.answering(401, {"error": "unauthorized"}), status=401)
requests_fails("503", PASSING_STATUS, servers.answering(503), status=503)
requests_fails("429 with a date", PASSING_STATUS, dated(429, 10), retry_after=10.0)
requests_fails("500 for lack of memory", MODEL_TOO_LARGE, servers.answering(500, MEMORY), "/api/chat", endpoint="chat")
requests_fails(
    "404 for a missing model",
    LASTING_STATUS,
    servers.answering(404, NOT_FOUND),
    "/api/generate",
    message="model 'qwen3:8b' not found",
)
requests_fails("redirects without end", LASTING_STATUS, servers.answering(302, location="/"), status=302)


@fails("requests: refused", REFUSED, endpoint="chat")
def requests_refused() -> None:
    asked(servers.refused(), "/api/chat")


@fails("requests: unknown host", DNS)
def requests_unknown_host() -> None:
    asked("nonexistent.invalid")


@fails("requests: connecting takes too long", TIMEOUT)
def requests_connect() -> None:
    with servers.full() as address:
        asked(address, timeout=SHORT)


@fails("requests: silent server", TIMEOUT)
def requests_silent() -> None:
    got(servers.silent, lambda address: asked(address, timeout=SHORT))


@fails("requests: stream falls silent", TIMEOUT)
def requests_stream() -> None:
    def read(address: str) -> None:
        list(asked(address, timeout=SHORT, stream=True).iter_lines())

    got(servers.sending(servers.HALF, servers.silent), read)


@fails("requests: half an answer", CUT)
def requests_half() -> None:
    if version("requests") < (2, 32):
        raise Absent("takes half an answer for a whole one")
    got(servers.sending(servers.HALF), asked)


@fails("requests: 403 before a stream", LASTING_STATUS, status=403)
def requests_stream_status() -> None:
    got(servers.answering(403, NOT_FOUND), lambda address: asked(address, stream=True).raise_for_status())


@fails("requests: its own retries used up", PASSING_STATUS._replace(kind="other"))
def requests_retries() -> None:
    def ask(address: str) -> None:
        retries = urllib3.Retry(1, status_forcelist=[503], backoff_factor=0)
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
            session.get(f"http://{address}", timeout=LONG)

    got(servers.answering(503), ask)


@fails("requests: server without TLS", TLS)
def requests_no_tls() -> None:
    got(servers.plain, lambda address: asked(address, scheme="https"))


@fails("requests: server hangs up in the handshake", RESET)
def requests_handshake() -> None:
    got(servers.hanging_up, lambda address: asked(address, scheme="https"))


@fails("requests: untrusted certificate", TLS)
def requests_certificate() -> None:
    got(servers.certified(certificate()), lambda address: asked(address, scheme="https"))


@fails("requests: address without scheme", INPUT)
def requests_schema() -> None:
    requests.get("127.0.0.1/500")


# httpx and httpx2, which have the same classes


def httpx_cases(library: ModuleType) -> None:
    """Registers the cases of one of them."""
    name = library.__name__

    def client(**options: Any) -> Any:
        return library.Client(**({"trust_env": False, "timeout": LONG} | options))

    def checked(url: str, **options: Any) -> None:
        with client(**options) as open_client:
            response = open_client.get(url)
            response.raise_for_status()
            response.json()

    def answer_fails(what: str, expected: Any, behaviour: Behaviour, path: str = "/", **facts: object) -> None:
        fails(f"{name}: {what}", expected, **facts)(
            lambda: got(behaviour, lambda address: checked(f"http://{address}{path}"))
        )

    answer_fails("server closes", RESET, servers.closing)
    answer_fails("server resets", RESET, servers.resetting)
    answer_fails("half an answer", CUT, servers.sending(servers.HALF))
    answer_fails("broken chunk", CUT, servers.sending(servers.BROKEN_CHUNK))
    answer_fails("another protocol", UNREADABLE, servers.sending(servers.BANNER))
    answer_fails("invalid JSON", UNREADABLE, servers.answering(200, "{"))
    answer_fails("undecodable answer", UNREADABLE, servers.answering(200, "no gzip", content_encoding="gzip"))
    answer_fails("429", PASSING_STATUS, servers.answering(429, retry_after_ms="250", retry_after="9"), retry_after=0.25)
    answer_fails(
        "404 for a missing model", LASTING_STATUS, servers.answering(404, NOT_FOUND), "/api/embed", endpoint="embed"
    )
    answer_fails("500 for lack of memory", MODEL_TOO_LARGE, servers.answering(500, MEMORY), "/api/chat", status=500)

    @fails(f"{name}: refused", REFUSED, endpoint="openai")
    def refused() -> None:
        checked(f"http://{servers.refused()}/v1/models")

    @fails(f"{name}: refused, asynchronous", REFUSED)
    async def refused_async() -> None:
        async with library.AsyncClient(trust_env=False, timeout=LONG) as open_client:
            await open_client.get(f"http://{servers.refused()}")

    @fails(f"{name}: server resets, asynchronous", RESET)
    async def reset_async() -> None:
        with servers.serving(servers.resetting) as address:
            async with library.AsyncClient(trust_env=False, timeout=LONG) as open_client:
                await open_client.get(f"http://{address}")

    @fails(f"{name}: unknown host", DNS)
    def unknown_host() -> None:
        checked("http://nonexistent.invalid")

    @fails(f"{name}: connecting takes too long", TIMEOUT)
    def connect() -> None:
        with servers.full() as address:
            checked(f"http://{address}", timeout=SHORT)

    @fails(f"{name}: silent server", TIMEOUT)
    def silent() -> None:
        got(servers.silent, lambda address: checked(f"http://{address}", timeout=SHORT))

    @fails(f"{name}: no free connection", BUSY_POOL)
    def pool() -> None:
        def use(address: str) -> None:
            limits = library.Limits(max_connections=1)
            url, timeout = f"http://{address}", library.Timeout(LONG, pool=SHORT)
            with client(limits=limits, timeout=timeout) as open_client, open_client.stream("GET", url):
                open_client.get(url)

        got(servers.sending(servers.HALF, servers.silent), use)

    @fails(f"{name}: server without TLS", TLS)
    def no_tls() -> None:
        got(servers.plain, lambda address: checked(f"https://{address}"))

    @fails(f"{name}: server hangs up in the handshake", RESET)
    def handshake() -> None:
        got(servers.hanging_up, lambda address: checked(f"https://{address}"))

    @fails(f"{name}: untrusted certificate", TLS)
    def untrusted() -> None:
        got(servers.certified(certificate()), lambda address: checked(f"https://{address}"))

    @fails(f"{name}: unknown scheme", INPUT)
    def scheme() -> None:
        checked("gopher://127.0.0.1")

    @fails(f"{name}: closed client", INPUT._replace(kind="other"))
    def closed() -> None:
        used = client()
        used.close()
        used.get("http://127.0.0.1")


for library in (httpx, httpx2):
    httpx_cases(library)


# aiohttp


def aiohttp_fails(name: str, expected: Any, behaviour: Behaviour, scheme: str = "http", **facts: object) -> None:
    """Registers a request whose answer is checked and read."""

    async def run() -> None:
        with servers.serving(behaviour) as address:
            await fetched(f"{scheme}://{address}/api/tags")

    fails(f"aiohttp: {name}", expected, **facts)(run)


async def fetched(url: str, timeout: float = LONG) -> None:
    """A checked answer, read as JSON."""
    limits = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=limits) as session, session.get(url) as response:
        response.raise_for_status()
        await response.json()


aiohttp_fails("server closes", RESET, servers.closing)
aiohttp_fails("server resets", RESET, servers.resetting)
aiohttp_fails("half an answer", CUT, servers.sending(servers.HALF))
aiohttp_fails("another protocol", UNREADABLE, servers.sending(servers.BANNER))
aiohttp_fails("web page in place of JSON", WEB_PAGE, servers.answering(200, "<html>", "text/html"))
aiohttp_fails("invalid JSON", UNREADABLE, servers.answering(200, "{"))
aiohttp_fails(
    "503", PASSING_STATUS, servers.answering(503, retry_after="3"), status=503, retry_after=3.0, endpoint="tags"
)
aiohttp_fails("403", LASTING_STATUS, servers.answering(403), status=403)
aiohttp_fails("server without TLS", TLS, servers.plain, "https")


@fails("aiohttp: refused", REFUSED)
async def aiohttp_refused() -> None:
    await fetched(f"http://{servers.refused()}")


@fails("aiohttp: unknown host", DNS)
async def aiohttp_unknown_host() -> None:
    await fetched("http://nonexistent.invalid")


@fails("aiohttp: silent server", TIMEOUT)
async def aiohttp_silent() -> None:
    with servers.serving(servers.silent) as address:
        await fetched(f"http://{address}", SHORT)


@fails("aiohttp: untrusted certificate", TLS)
async def aiohttp_certificate() -> None:
    with servers.serving(servers.certified(certificate())) as address:
        await fetched(f"https://{address}")


@fails("aiohttp: invalid address", INPUT)
async def aiohttp_address() -> None:
    await fetched("http://")
