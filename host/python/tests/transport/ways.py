"""Unmodified clients on the transport, and the ways in which each asks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import anthropic
import httpx
import httpx2
import ollama
import openai
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.ollama import Ollama as LlamaIndexOllama

from upright.transport import UprightTransport

MODEL = "m"
TIMEOUT = 60.0
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "Tells the weather", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": FUNCTION}


class Question(NamedTuple):
    """One question, by one way."""

    url: str
    transport: UprightTransport
    text: str
    streamed: bool
    is_async: bool
    tools: bool

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.text}]

    def offering(self, tool: dict[str, Any]) -> dict[str, Any]:
        return {"tools": [tool]} if self.tools else {}


def _ollama(question: Question) -> Any:
    kind = ollama.AsyncClient if question.is_async else ollama.Client
    return kind(question.url, transport=question.transport, timeout=TIMEOUT)


def _http(question: Question, library: Any) -> Any:
    kind = library.AsyncClient if question.is_async else library.Client
    return kind(transport=question.transport, timeout=TIMEOUT)


def _openai(question: Question) -> Any:
    kind = openai.AsyncOpenAI if question.is_async else openai.OpenAI
    client = _http(question, httpx2)
    return kind(base_url=f"{question.url}/v1", api_key="none", max_retries=0, http_client=client)


def _anthropic(question: Question) -> Any:
    kind = anthropic.AsyncAnthropic if question.is_async else anthropic.Anthropic
    client = _http(question, httpx2 if issubclass(kind, object) and _stands_on_httpx2(anthropic) else httpx)
    return kind(base_url=question.url, api_key="none", max_retries=0, http_client=client)


def _stands_on_httpx2(client: Any) -> bool:
    return issubclass(client.DefaultHttpxClient, httpx2.Client)


def _ollama_chat(question: Question) -> Any:
    client = _ollama(question)
    return client.chat(MODEL, question.messages, stream=question.streamed, **question.offering(TOOL))


def _ollama_generate(question: Question) -> Any:
    return _ollama(question).generate(MODEL, question.text, stream=question.streamed)


def _openai_chat(question: Question) -> Any:
    create = _openai(question).chat.completions.create
    return create(model=MODEL, messages=question.messages, stream=question.streamed, **question.offering(TOOL))


def _openai_completions(question: Question) -> Any:
    return _openai(question).completions.create(model=MODEL, prompt=question.text, stream=question.streamed)


def _openai_responses(question: Question) -> Any:
    return _openai(question).responses.create(model=MODEL, input=question.text, stream=question.streamed)


def _anthropic_messages(question: Question) -> Any:
    asked = {"model": MODEL, "max_tokens": 200, "messages": question.messages, "stream": question.streamed}
    return _anthropic(question).messages.create(**asked)


def _langchain(question: Question, model: Any) -> Any:
    if question.tools:
        model = model.bind_tools([TOOL])
    name = ("a" if question.is_async else "") + ("stream" if question.streamed else "invoke")
    return getattr(model, name)(question.text)


def _langchain_ollama(question: Question) -> Any:
    settings = {"transport": question.transport, "timeout": TIMEOUT}
    return _langchain(question, ChatOllama(model=MODEL, base_url=question.url, client_kwargs=settings))


def _langchain_openai(question: Question) -> Any:
    name = "http_async_client" if question.is_async else "http_client"
    settings = {"base_url": f"{question.url}/v1", "api_key": "none", "max_retries": 0, name: _http(question, httpx2)}
    return _langchain(question, ChatOpenAI(model=MODEL, **settings))


def _llama_index(question: Question) -> Any:
    name = "async_client" if question.is_async else "client"
    settings = {name: _ollama(question), "context_window": 4096}
    model = LlamaIndexOllama(model=MODEL, base_url=question.url, **settings)
    method = ("a" if question.is_async else "") + ("stream_" if question.streamed else "") + "chat"
    return getattr(model, method)([ChatMessage(role="user", content=question.text)], **question.offering(TOOL))


def _text_of_choice(piece: Any) -> str:
    for choice in piece.choices:
        if hasattr(choice, "text"):
            return choice.text or ""
        return (choice.delta if hasattr(choice, "delta") else choice.message).content or ""
    return ""


def _text_of_response(piece: Any) -> str:
    if hasattr(piece, "output_text"):
        return str(piece.output_text)
    return str(piece.delta) if piece.type == "response.output_text.delta" else ""


def _text_of_message(piece: Any) -> str:
    if piece.type == "message":
        return "".join(block.text for block in piece.content or [])
    return getattr(piece.delta, "text", "") if piece.type == "content_block_delta" else ""


def _text_of_llama_index(piece: Any) -> str:
    return (piece.message.content if piece.delta is None else piece.delta) or ""


class Client(NamedTuple):
    """A client on one route: how it asks, and the text in a piece of its answer."""

    name: str
    path: str
    ask: Callable[[Question], Any]
    text: Callable[[Any], str]


CLIENTS = (
    Client("ollama", "/api/chat", _ollama_chat, lambda piece: piece.message.content or ""),
    Client("ollama", "/api/generate", _ollama_generate, lambda piece: piece.response or ""),
    Client("openai", "/v1/chat/completions", _openai_chat, _text_of_choice),
    Client("openai", "/v1/completions", _openai_completions, _text_of_choice),
    Client("openai", "/v1/responses", _openai_responses, _text_of_response),
    Client("anthropic", "/v1/messages", _anthropic_messages, _text_of_message),
    Client("langchain-ollama", "/api/chat", _langchain_ollama, lambda piece: str(piece.text)),
    Client("langchain-openai", "/v1/chat/completions", _langchain_openai, lambda piece: str(piece.text)),
    Client("llama-index", "/api/chat", _llama_index, _text_of_llama_index),
)


def ask(client: Client, question: Question, came: list[str]) -> None:
    """Asks, and appends the texts as they come."""
    answer = client.ask(question)
    for piece in answer if question.streamed else [answer]:
        came.append(client.text(piece))


async def ask_async(client: Client, question: Question, came: list[str]) -> None:
    """`ask` of an asynchronous client."""
    answer = client.ask(question)
    answer = await answer if inspect.isawaitable(answer) else answer
    if not question.streamed:
        came.append(client.text(answer))
        return
    async for piece in answer:
        came.append(client.text(piece))
