"""Ports of model servers on the loopback: each refuses connections until it opens, then answers as it was given."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Answer = bytes | Callable[[Any], bytes]
"""An answer, or what makes it of the body of the request."""


class Port:
    """A port that is bound, and refuses connections until `open`. Each request gets an answer; the last one repeats."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self.bodies: list[Any] = []
        self._answers = answers
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def models(self) -> list[str]:
        """The models that were asked for, in order."""
        return [body["model"] for body in self.bodies]

    def open(self) -> None:
        """Accepts connections from now on."""
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with suppress(OSError), connection:
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        length = 0
        while (line := stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        self.bodies.append(json.loads(stream.read(length) or b"null"))
        answer = self._answers[min(len(self.bodies), len(self._answers)) - 1]
        connection.sendall(answer(self.bodies[-1]) if callable(answer) else answer)
        # A client may still read when the connection is gone, if it was not reset.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


@contextmanager
def port(*answers: Answer, is_open: bool = True) -> Iterator[Port]:
    """A port that is closed with its block."""
    made = Port(answers)
    if is_open:
        made.open()
    try:
        yield made
    finally:
        made.close()


def http(status: int, body: str, content_type: str = "application/json", *headers: str) -> bytes:
    """A whole answer."""
    content = body.encode()
    head = (f"HTTP/1.1 {status} Status", f"content-type: {content_type}", f"content-length: {len(content)}", *headers)
    return "".join(f"{line}\r\n" for line in (*head, "connection: close", "")).encode() + content


def error(status: int, text: str, *headers: str) -> bytes:
    """An error in the shape of Ollama and OpenAI."""
    return http(status, json.dumps({"error": text}), "application/json", *headers)


def ollama(*words: str, tool: str | None = None, is_whole: bool = True, is_cut: bool = False) -> bytes:
    """Ollama's stream of a chat, word by word, or a call of a tool.

    Without `is_whole`, the line that ends it is missing; with `is_cut` the connection ends within it.
    """
    messages: list[dict[str, Any]] = [{"role": "assistant", "content": word} for word in words]
    if tool is not None:
        messages.append(
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": tool, "arguments": {}}}]}
        )
    lines: list[dict[str, Any]] = [{"model": "m", "message": message, "done": False} for message in messages]
    if is_whole:
        end = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
        lines.append(end)
    whole = http(200, "".join(json.dumps(line) + "\n" for line in lines), "application/x-ndjson")
    return whole.replace(b"\r\ncontent-length: ", b"\r\ncontent-length: 9") if is_cut else whole


def openai(text: str) -> bytes:
    """OpenAI's answer of a chat."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return http(200, json.dumps(answer))


def by_model(**answers: bytes) -> Callable[[Any], bytes]:
    """Answers by the model that is asked; `model not found` for others, as Ollama says it."""

    def answer(body: Any) -> bytes:
        missing = error(404, f"model '{body['model']}' not found")
        return answers.get(body["model"], missing)

    return answer
