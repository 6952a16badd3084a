"""Failures of Python itself and of its standard library."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import json
import operator
import os
import resource
import socket
import ssl
import subprocess
import sys
import urllib.request
from contextlib import closing
from typing import Any

import servers
from matrix import (
    CANCELLED,
    CUT,
    DISK,
    DNS,
    FILES,
    FORBIDDEN,
    INPUT,
    LASTING_STATUS,
    LONG,
    MEMORY,
    MEMORY_TEXT,
    MISSING,
    PASSING_STATUS,
    REFUSED,
    RESET,
    SHORT,
    TIMEOUT,
    TLS,
    UNREADABLE,
    Absent,
    fails,
)


def certificate() -> str:
    """A file with key and self-signed certificate."""
    path = os.environ.get("UPRIGHT_TEST_CERTIFICATE", "")
    if not path:
        raise Absent("openssl made no certificate")
    return path


@fails("python: missing file", MISSING, errno=2)
def missing_file() -> None:
    os.stat("/nonexistent/file")


@fails("python: unlinking what the system keeps", FORBIDDEN)
def forbidden() -> None:
    if not sys.platform.startswith("linux"):
        raise Absent("only Linux has /proc")
    os.unlink("/proc/self/status")


@fails("python: full disk", DISK, errno=28)
def full_disk() -> None:
    if not os.path.exists("/dev/full"):
        raise Absent("no /dev/full")
    with open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")


@fails("python: too many open files", FILES, errno=24)
def too_many_open_files() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        os.open(".", os.O_RDONLY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@fails("python: allocation beyond memory", MEMORY)
def allocation() -> None:
    bytearray(1 << 62)


@fails("python: RuntimeError with a GPU's words", MEMORY_TEXT)
def gpu() -> None:
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB")


@fails("python: no number", INPUT)
def no_number() -> None:
    int("5000 ms")


@fails("python: a key that looks like a status", INPUT)
def key() -> None:
    {}["500"]  # type: ignore[index]


@fails("python: a port that looks like a status", INPUT)
def port() -> None:
    raise ValueError("port 5000 is out of range")


@fails("python: missing attribute", INPUT)
def attribute() -> None:
    operator.attrgetter("missing")(object())


@fails("python: missing module", INPUT)
def module() -> None:
    import nonexistent_module_503  # type: ignore[import-not-found] # noqa: F401


@fails("python: division by zero", INPUT)
def division() -> None:
    divmod(1, 0)


@fails("json: the caller's text", INPUT)
def own_json() -> None:
    json.loads("{")


@fails("socket: refused", REFUSED, errno=111)
def refused() -> None:
    host, _, number = servers.refused().partition(":")
    socket.create_connection((host, int(number)), LONG)


@fails("socket: unknown host", DNS)
def unknown_host() -> None:
    socket.create_connection(("nonexistent.invalid", 80), LONG)


@fails("socket: silent server", TIMEOUT)
def silent() -> None:
    with servers.serving(servers.silent) as address:
        host, _, number = address.partition(":")
        with socket.create_connection((host, int(number)), SHORT) as connection:
            connection.recv(1)


@fails("ssl: server without TLS", TLS)
def no_tls() -> None:
    with servers.serving(servers.plain) as address:
        host, _, number = address.partition(":")
        with socket.create_connection((host, int(number)), LONG) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname=host)


@fails("ssl: server hangs up in the handshake", RESET)
def handshake() -> None:
    with servers.serving(servers.hanging_up) as address:
        host, _, number = address.partition(":")
        with socket.create_connection((host, int(number)), LONG) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname=host)


def opened(url: str, timeout: float = LONG) -> Any:
    """Opens a URL without the proxies of the environment."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=timeout)


@fails("urllib: refused", REFUSED)
def urllib_refused() -> None:
    opened(f"http://{servers.refused()}")


@fails("urllib: unknown host", DNS)
def urllib_unknown_host() -> None:
    opened("http://nonexistent.invalid")


@fails("urllib: silent server", TIMEOUT)
def urllib_silent() -> None:
    with servers.serving(servers.silent) as address:
        opened(f"http://{address}", SHORT)


@fails("urllib: 503 with Retry-After", PASSING_STATUS, status=503, retry_after=7.0, endpoint="tags")
def urllib_503() -> None:
    with servers.serving(servers.answering(503, retry_after="7")) as address:
        opened(f"http://{address}/api/tags")


@fails("urllib: 401", LASTING_STATUS, status=401)
def urllib_401() -> None:
    with servers.serving(servers.answering(401)) as address:
        opened(f"http://{address}")


@fails("urllib: untrusted certificate", TLS)
def urllib_certificate() -> None:
    with servers.serving(servers.certified(certificate())) as address:
        opened(f"https://{address}")


def response(address: str) -> bytes:
    """The body of an answer."""
    with closing(http.client.HTTPConnection(address, timeout=LONG)) as client:
        client.request("GET", "/")
        return client.getresponse().read()


@fails("http.client: server closes", RESET)
def remote_disconnected() -> None:
    with servers.serving(servers.closing) as address:
        response(address)


@fails("http.client: half an answer", CUT)
def incomplete_read() -> None:
    with servers.serving(servers.sending(servers.HALF)) as address:
        response(address)


@fails("http.client: another protocol", UNREADABLE)
def banner() -> None:
    with servers.serving(servers.sending(servers.BANNER)) as address:
        response(address)


@fails("asyncio: wait_for", TIMEOUT)
async def wait_for() -> None:
    await asyncio.wait_for(asyncio.Event().wait(), 0)


@fails("asyncio: refused", REFUSED)
async def asyncio_refused() -> None:
    host, _, number = servers.refused().partition(":")
    await asyncio.open_connection(host, int(number))


@fails("asyncio: stream ends early", RESET)
async def incomplete_stream() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"half")
    reader.feed_eof()
    await reader.readexactly(10)


@fails("asyncio: cancelled task", CANCELLED)
async def cancelled() -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    task.cancel()
    await task


@fails("concurrent.futures: no result in time", TIMEOUT)
def no_result() -> None:
    concurrent.futures.Future[None]().result(timeout=0)


@fails("concurrent.futures: cancelled future", CANCELLED)
def cancelled_future() -> None:
    future = concurrent.futures.Future[None]()
    future.cancel()
    future.result()


@fails("subprocess: command takes too long", TIMEOUT)
def slow_command() -> None:
    subprocess.run([sys.executable, "-c", "import signal; signal.pause()"], check=True, timeout=SHORT)


@fails("subprocess: command without memory", MEMORY_TEXT)
def failed_command() -> None:
    program = "import sys; sys.exit('OSError: Cannot allocate memory')"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@fails("subprocess: missing command", MISSING)
def missing_command() -> None:
    subprocess.run(["nonexistent-command"], check=True)
