"""Servers on the loopback that misbehave. Each has a port of its own, runs in threads, and ends with its block."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

Behaviour = Callable[[socket.socket], None]
"""Treatment of a connection. The server closes it afterwards."""

LOOPBACK = "127.0.0.1"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


def address_of(listener: socket.socket) -> str:
    """Its `127.0.0.1:PORT`."""
    host, port = listener.getsockname()
    return f"{host}:{port}"


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """Serves in threads until the block ends. Yields `127.0.0.1:PORT`."""
    connections: list[socket.socket] = []
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                behaviour(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield address_of(listener)
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def refused() -> str:
    """An address where nothing listens."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return address_of(listener)


@contextmanager
def full() -> Iterator[str]:
    """An address whose queue of new connections is full, so that connecting takes for ever."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield address_of(listener)


def request(connection: socket.socket) -> bytes:
    """Reads one request with its body."""
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("no request")
        head += part
    head, _, body = head.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    chunked = b"transfer-encoding: chunked" in head.lower()
    while len(body) < int(lengths[0] if lengths else 0) or (chunked and not body.endswith(b"0\r\n\r\n")):
        body += connection.recv(65536)
    return head


def silent(connection: socket.socket) -> None:
    """Reads for ever and never answers."""
    while connection.recv(65536):
        pass


def closing(connection: socket.socket) -> None:
    """Reads a request and closes."""
    request(connection)


def hanging_up(connection: socket.socket) -> None:
    """Closes at the first bytes, as in the middle of a handshake."""
    connection.recv(1)
    connection.shutdown(socket.SHUT_WR)
    silent(connection)


def resetting(connection: socket.socket) -> None:
    """Reads a request and resets the connection."""
    request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def sending(answer: bytes, then: Behaviour | None = None) -> Behaviour:
    """Answers a request with these bytes, whatever they are. Closes, or goes on as `then`."""

    def behave(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(answer)
        if then is not None:
            then(connection)

    return behave


def reset_within(answer: bytes) -> Behaviour:
    """Sends a part of an answer. Resets the connection once the client has it."""

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    return sending(answer, reset)


def http(status: int, body: object = "", content_type: str = "application/json", **headers: str) -> bytes:
    """A complete answer. A body other than text is sent as JSON; `_` in the names of headers stands for `-`."""
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    fields = {"content-type": content_type, "content-length": str(len(content)), "connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + content


def answering(status: int, body: object = "", content_type: str = "application/json", **headers: str) -> Behaviour:
    """Answers each request the same way."""
    return sending(http(status, body, content_type, **headers))


HALF = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"model"'
BROKEN_CHUNK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{"model"'
BANNER = b"SSH-2.0-OpenSSH_9.6\r\n\r\n"
PLAIN = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"


def plain(connection: socket.socket) -> None:
    """Answers a TLS handshake in plain HTTP."""
    connection.recv(65536)
    connection.sendall(PLAIN)
    connection.shutdown(socket.SHUT_WR)
    silent(connection)


def certified(certificate: str) -> Behaviour:
    """Speaks TLS with a certificate that nobody trusts (a file with key and certificate)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            silent(secured)

    return behave


def lines(*parts: object) -> Behaviour:
    """A stream of JSON lines."""
    return answering(200, "".join(json.dumps(part) + "\n" for part in parts), "application/x-ndjson")


def events(*parts: tuple[str, object]) -> Behaviour:
    """A stream of server-sent events: name (or "") and data."""
    text = "".join((f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in parts)
    return answering(200, text, "text/event-stream")
