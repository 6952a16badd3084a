"""Servers on 127.0.0.1 for tests, and the recorded answers of a real Ollama that they give, byte for byte."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

RECORDINGS = Path(__file__).resolve().parents[4] / "tests" / "recordings" / "ollama.jsonl"
WHOLE = "Hello there, and goodbye."
"""The healthy host's answer."""

LIMIT = 60.0
"""A wait that ends a test which would hang otherwise, seconds."""


class Asked(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}


Answer = bytes | Callable[[socket.socket], None]
"""Bytes to send, or a function that speaks on the connection."""


class Server:
    """Gives the answers that `choose` chooses, one for each connection, until its block ends."""

    def __init__(self, choose: Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        self._choose = choose
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = "http://127.0.0.1:%d" % self._listener.getsockname()[1]

    def __enter__(self) -> Server:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Closing alone would not end a thread that waits for a connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(LIMIT)
        with connection, connection.makefile("rb") as lines:
            first = lines.readline().decode().split(" ")
            if len(first) != 3:
                return
            headers = {}
            while line := lines.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = b""
            if headers.get("transfer-encoding") == "chunked":
                while length := int(lines.readline(), 16):
                    body += lines.read(length + 2)[:-2]
                lines.readline()
            else:
                body = lines.read(int(headers.get("content-length", 0)))
            asked = Asked(first[0], first[1], headers, body)
            self.asked.append(asked)
            answer = self._choose(asked)
            try:
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


@lru_cache
def recordings() -> dict[str, bytes]:
    """All recorded answers by name: status line, headers and body."""
    with RECORDINGS.open(encoding="utf-8") as lines:
        return {one["name"]: one["answer"]["text"].encode() for one in map(json.loads, lines)}


def answer(status: int, body: bytes | str = b"", *, of: str = "application/json", **headers: str) -> bytes:
    """An answer in one piece."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} OK", f"Content-Type: {of}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
"""The head of a stream of Ollama's."""

END = b"0\r\n\r\n"
"""The end of a stream."""


def chunk(text: str, **members: Any) -> bytes:
    """A piece of a stream of `/api/chat`."""
    line = (
        json.dumps({"model": "m", "message": {"role": "assistant", "content": text}, "done": False, **members}) + "\n"
    )
    return b"%x\r\n%b\r\n" % (len(line), line.encode())


def whole(text: str, **members: Any) -> bytes:
    """A whole answer of `/api/chat`."""
    return answer(
        200, json.dumps({"model": "m", "message": {"role": "assistant", "content": text}, "done": True, **members})
    )
