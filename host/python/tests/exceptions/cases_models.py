"""Failures of model clients: ollama, openai, anthropic, and langchain's models above them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import ollama
import openai
import pydantic
import servers
from cases_http import MEMORY, NOT_FOUND, got
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from matrix import (
    CUT,
    INPUT,
    LASTING_STATUS,
    LONG,
    MEMORY_STREAM,
    MODEL_TOO_LARGE,
    PASSING_STATUS,
    PASSING_STREAM,
    REFUSED,
    REJECTED,
    RESET,
    SHORT,
    TIMEOUT,
    UNREADABLE,
    Absent,
    Expected,
    fails,
    version,
)

Behaviour = servers.Behaviour
ASK = [{"role": "user", "content": "Hello"}]
PART = {
    "model": "m",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": "Hel"},
    "done": False,
}
CUDA = "an error was encountered while running the model: CUDA error: out of memory"
RUNNER = "an error was encountered while running the model: unexpected EOF"
BROKEN_STREAM = (
    b'HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{"model":"m"'
)


def client_fails(
    client: str, ask: Callable[[str], Any], name: str, expected: Expected, behaviour: Behaviour, **facts: object
) -> None:
    """Registers a question to a server that behaves like this."""
    fails(f"{client}: {name}", expected, **facts)(lambda: got(behaviour, ask))


# ollama


def ollama_chat(address: str, timeout: float = LONG) -> None:
    ollama.Client(f"http://{address}", timeout=timeout, trust_env=False).chat(model="m", messages=ASK)


def ollama_stream(address: str) -> None:
    list(ollama.Client(f"http://{address}", timeout=LONG, trust_env=False).chat(model="m", messages=ASK, stream=True))


Failure = tuple[str, Expected, Behaviour, dict[str, object]]

OLLAMA_FAILURES: list[Failure] = [
    ("server closes", RESET, servers.closing, {}),
    ("half an answer", CUT, servers.sending(servers.HALF), {"endpoint": "chat"}),
    ("404 for a missing model", LASTING_STATUS, servers.answering(404, NOT_FOUND), {"message": NOT_FOUND["error"]}),
    ("500 for lack of memory", MODEL_TOO_LARGE, servers.answering(500, MEMORY), {"status": 500, "endpoint": "chat"}),
    (
        "503 with Retry-After",
        PASSING_STATUS,
        servers.answering(503, {"error": "server busy"}, retry_after="2"),
        {"retry_after": 2.0},
    ),
    ("unknown route", LASTING_STATUS, servers.answering(404, "404 page not found", "text/plain"), {"status": 404}),
    ("invalid JSON", UNREADABLE, servers.answering(200, "{"), {}),
]
for name, expected, behaviour, facts in OLLAMA_FAILURES:
    client_fails("ollama", ollama_chat, name, expected, behaviour, **facts)

client_fails(
    "ollama", ollama_stream, "error in a stream", PASSING_STREAM, servers.lines(PART, {"error": RUNNER}), message=RUNNER
)
client_fails("ollama", ollama_stream, "lack of memory in a stream", MEMORY_STREAM, servers.lines(PART, {"error": CUDA}))
client_fails("ollama", ollama_stream, "broken stream", CUT, servers.sending(BROKEN_STREAM))
client_fails(
    "ollama", ollama_stream, "404 before a stream", LASTING_STATUS, servers.answering(404, NOT_FOUND), endpoint="chat"
)
client_fails(
    "ollama", lambda address: ollama_chat(address, SHORT), "silent server", TIMEOUT, servers.silent, endpoint="chat"
)


@fails("ollama: refused", REFUSED, endpoint="chat", errno=111)
def ollama_refused() -> None:
    ollama_chat(servers.refused())


@fails("ollama: refused, asynchronous", REFUSED)
async def ollama_refused_async() -> None:
    client = ollama.AsyncClient(f"http://{servers.refused()}", timeout=LONG, trust_env=False)
    await client.chat(model="m", messages=ASK)


@fails("ollama: refused stream", REFUSED)
def ollama_refused_stream() -> None:
    ollama_stream(servers.refused())


@fails("ollama: request without a model's file", INPUT)
def ollama_request() -> None:
    if version("ollama") >= (0, 4):
        raise Absent("asks the server about it")
    ollama.Client(f"http://{servers.refused()}").create(model="m")


# openai


def openai_client(address: str, timeout: float = LONG, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url=f"http://{address}/v1", max_retries=0, timeout=timeout, **options)


def openai_chat(address: str, timeout: float = LONG) -> None:
    openai_client(address, timeout).chat.completions.create(model="m", messages=ASK)  # type: ignore[arg-type,unused-ignore]


def openai_stream(address: str) -> None:
    list(openai_client(address).chat.completions.create(model="m", messages=ASK, stream=True))  # type: ignore[arg-type,call-overload,unused-ignore]


def openai_strict(address: str) -> None:
    client = openai_client(address, _strict_response_validation=True)
    client.chat.completions.create(model="m", messages=ASK)  # type: ignore[arg-type,unused-ignore]


class City(pydantic.BaseModel):
    """An answer's shape."""

    name: str


def openai_parse(address: str) -> None:
    completions = openai_client(address).beta.chat.completions
    completions.parse(model="m", messages=ASK, response_format=City)  # type: ignore[arg-type,unused-ignore]


def openai_error(message: str, **labels: object) -> dict[str, object]:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "param": None} | labels}


CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
CUT_SHORT = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": '{"na'}}],
}  # fmt: skip
LIMITED = servers.answering(
    429, openai_error("Rate limit reached", type="requests", code="rate_limit_exceeded"), retry_after_ms="1500"
)
WITHOUT_CREDIT = servers.answering(429, openai_error("You exceeded your current quota", type="insufficient_quota"))
TOO_LONG = servers.answering(
    400, openai_error("too long", code="context_length_exceeded", type="invalid_request_error")
)
NO_RETRY = servers.answering(500, openai_error("The server had an error"), x_should_retry="false")
STREAM_ERROR = servers.events(
    ("", CHUNK), ("", openai_error("The server had an error while processing", type="server_error"))
)

OPENAI_FAILURES: list[Failure] = [
    ("server closes", RESET, servers.closing, {}),
    ("half an answer", CUT, servers.sending(servers.HALF), {}),
    (
        "429 with milliseconds",
        PASSING_STATUS,
        LIMITED,
        {"retry_after": 1.5, "error_code": "rate_limit_exceeded", "endpoint": "openai"},
    ),
    ("500 not to be repeated", PASSING_STATUS._replace(retryable=False), NO_RETRY, {"should_retry": False}),
    ("404 for a missing model", LASTING_STATUS, servers.answering(404, openai_error("model 'm' not found")), {}),
    ("400 for a long prompt", LASTING_STATUS, TOO_LONG, {"error_code": "context_length_exceeded"}),
    ("401", LASTING_STATUS, servers.answering(401, openai_error("Incorrect API key provided: k")), {"status": 401}),
    (
        "500 for lack of memory",
        MODEL_TOO_LARGE,
        servers.answering(500, openai_error(MEMORY["error"], type="api_error")),
        {},
    ),
    ("invalid JSON", UNREADABLE, servers.answering(200, "{"), {}),
]
for name, expected, behaviour, facts in OPENAI_FAILURES:
    client_fails("openai", openai_chat, name, expected, behaviour, **facts)

client_fails("openai", openai_stream, "error in a stream", PASSING_STREAM, STREAM_ERROR, error_type="server_error")
client_fails(
    "openai",
    openai_stream,
    "broken stream",
    CUT,
    servers.sending(BROKEN_STREAM.replace(b"application/x-ndjson", b"text/event-stream")),
)
client_fails(
    "openai", openai_strict, "answer of another shape", UNREADABLE, servers.answering(200, "Hello", "text/plain")
)
client_fails("openai", openai_parse, "answer cut at its limit", REJECTED, servers.answering(200, CUT_SHORT))
client_fails(
    "openai", lambda address: openai_chat(address, SHORT), "silent server", TIMEOUT, servers.silent, endpoint="openai"
)


@fails("openai: refused", REFUSED, endpoint="openai", errno=111)
def openai_refused() -> None:
    openai_chat(servers.refused())


@fails("openai: refused, asynchronous", REFUSED)
async def openai_refused_async() -> None:
    client = openai.AsyncOpenAI(api_key="k", base_url=f"http://{servers.refused()}/v1", max_retries=0, timeout=LONG)
    await client.chat.completions.create(model="m", messages=ASK)  # type: ignore[arg-type,unused-ignore]


# anthropic


def anthropic_ask(address: str, timeout: float = LONG, stream: bool = False) -> None:
    client = anthropic.Anthropic(api_key="k", base_url=f"http://{address}", max_retries=0, timeout=timeout)
    answer = client.messages.create(model="m", max_tokens=9, messages=ASK, stream=stream)  # type: ignore[arg-type,call-overload,unused-ignore]
    list(answer)


def anthropic_error(kind: str, message: str) -> dict[str, object]:
    """An error in Anthropic's shape."""
    return {"type": "error", "error": {"type": kind, "message": message}}


OVERLOADED = anthropic_error("overloaded_error", "Overloaded")

client_fails("anthropic", anthropic_ask, "server resets", RESET, servers.resetting)
client_fails(
    "anthropic", anthropic_ask, "529", PASSING_STATUS, servers.answering(529, OVERLOADED), error_type="overloaded_error"
)
client_fails(
    "anthropic",
    anthropic_ask,
    "400",
    LASTING_STATUS,
    servers.answering(400, anthropic_error("invalid_request_error", "max_tokens: must be at least 1")),
    endpoint="openai",
)
client_fails(
    "anthropic",
    lambda address: anthropic_ask(address, stream=True),
    "error in a stream",
    PASSING_STREAM,
    servers.events(("ping", {"type": "ping"}), ("error", OVERLOADED)),
    error_type="overloaded_error",
    message="Overloaded",
)
client_fails("anthropic", lambda address: anthropic_ask(address, SHORT), "silent server", TIMEOUT, servers.silent)


@fails("anthropic: refused", REFUSED)
def anthropic_refused() -> None:
    anthropic_ask(servers.refused())


# langchain


def chat_ollama(address: str) -> None:
    ChatOllama(model="m", base_url=f"http://{address}", client_kwargs={"timeout": LONG}).invoke("Hello")


def chat_openai(address: str, timeout: float = LONG) -> None:
    model = ChatOpenAI(model="m", api_key="k", base_url=f"http://{address}/v1", max_retries=0, timeout=timeout)  # type: ignore[arg-type,unused-ignore]
    model.invoke("Hello")


client_fails(
    "langchain-ollama",
    chat_ollama,
    "404 for a missing model",
    LASTING_STATUS,
    servers.answering(404, NOT_FOUND),
    endpoint="chat",
)
client_fails("langchain-ollama", chat_ollama, "500 for lack of memory", MODEL_TOO_LARGE, servers.answering(500, MEMORY))
client_fails(
    "langchain-ollama", chat_ollama, "error in a stream", PASSING_STREAM, servers.lines(PART, {"error": RUNNER})
)
client_fails("langchain-openai", chat_openai, "429", PASSING_STATUS, LIMITED, status=429, retry_after=1.5)
client_fails(
    "langchain-openai",
    chat_openai,
    "429 without credit",
    PASSING_STATUS,
    WITHOUT_CREDIT,
    error_type="insufficient_quota",
)
client_fails(
    "langchain-openai",
    chat_openai,
    "400 for a long prompt",
    LASTING_STATUS,
    TOO_LONG,
    error_code="context_length_exceeded",
)
client_fails("langchain-openai", lambda address: chat_openai(address, SHORT), "silent server", TIMEOUT, servers.silent)


@fails("langchain-ollama: refused", REFUSED)
def chat_ollama_refused() -> None:
    chat_ollama(servers.refused())


@fails("langchain-openai: refused", REFUSED)
def chat_openai_refused() -> None:
    chat_openai(servers.refused())
