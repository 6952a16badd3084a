"""Unmodified clients from PyPI, asked one question after another.

`python clients.py` reads cases from standard input, one JSON object a line:
`{"url": "http://127.0.0.1:11444", "client": "openai", "way": "chat stream", "tools": false}`.
It writes one line for each: `{"client": …, "way": …, "outcome": "text" | "error", "text": …, "error": …}`. `text` has
what reached the caller, also before an error. No client retries by itself. `"hang_up": "close"` leaves a streamed
answer after its first text; README.md lists the other means.
"""

import asyncio
import gc
import inspect
import json
import os
import sys
import threading

# litellm otherwise asks the network for prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import anthropic
import litellm
import ollama
import openai
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.llms.ollama import Ollama as LlamaIndexOllama

MODEL = "m"
KEY = "none"
TIMEOUT = 30.0
# Text that the host sends first to a client that hangs up.
FIRST = "Hello"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "Tells the weather", "parameters": PARAMETERS}
FUNCTION_TOOL = {"type": "function", "function": FUNCTION}


class Question:
    """A question, and what has come of its answer."""

    def __init__(self, url, stream, tools, hang_up):
        self.url, self.stream, self.with_tools, self.hang_up = url, stream, tools, hang_up
        # A client that outlives its answer, as in most programs: its own end must not be what closes the connection.
        self.client = None
        self.text = "What is the weather in Oslo?" if tools else "Hello?"
        self.messages = [{"role": "user", "content": self.text}]
        self.came = []

    def offering(self, tool):
        return {"tools": [tool]} if self.with_tools else {}

    def by(self, client):
        self.client = client
        return client

    def pieces(self, answer):
        """Yields the pieces of a streamed answer, until it hangs up, or a whole answer as one piece."""
        if not self.stream:
            yield answer
            return
        for piece in answer:
            yield piece
            if self.hang_up and any(self.came):
                if self.hang_up == "close":
                    answer.close()
                return

    async def leave(self, start):
        """Reads an asynchronous answer until its first text, and hangs up."""
        answer = start(self)
        answer = await answer if inspect.isawaitable(answer) else answer
        async for piece in answer:
            if FIRST in str(piece):
                self.took(FIRST)
                if self.hang_up == "aclose":
                    return await (answer.aclose if hasattr(answer, "aclose") else answer.close)()
                # Ends the wait for the next piece.
                asyncio.current_task().cancel()

    def took(self, text):
        self.came.append(text or "")

    def called(self, name, arguments):
        """Takes a tool call. Arguments may come as text, in pieces."""
        self.took(name)
        self.took(arguments if isinstance(arguments, str) else json.dumps(arguments, separators=(",", ":")) if arguments else "")


def ollama_chat(question):
    client = question.by(ollama.Client(question.url, timeout=TIMEOUT))
    answer = client.chat(MODEL, question.messages, stream=question.stream, **question.offering(FUNCTION_TOOL))
    for piece in question.pieces(answer):
        question.took(piece.message.content)
        for call in piece.message.tool_calls or []:
            question.called(call.function.name, dict(call.function.arguments))


def ollama_generate(question):
    client = question.by(ollama.Client(question.url, timeout=TIMEOUT))
    answer = client.generate(MODEL, question.text, stream=question.stream)
    for piece in question.pieces(answer):
        question.took(piece.response)


def ollama_embed(question):
    question.took(str(len(ollama.Client(question.url, timeout=TIMEOUT).embed(MODEL, question.text).embeddings[0])))


def of_openai(question):
    return question.by(openai.OpenAI(base_url=f"{question.url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT))


def take_chat_completion(question, answer):
    """Takes a chat completion in OpenAI's form, of whatever client."""
    for piece in question.pieces(answer):
        for choice in piece.choices:
            message = choice.delta if question.stream else choice.message
            question.took(message.content)
            for call in message.tool_calls or []:
                question.called(call.function.name, call.function.arguments)


def openai_chat(question):
    create = of_openai(question).chat.completions.create
    take_chat_completion(question, create(model=MODEL, messages=question.messages, stream=question.stream, **question.offering(FUNCTION_TOOL)))


def openai_completion(question):
    answer = of_openai(question).completions.create(model=MODEL, prompt=question.text, stream=question.stream)
    for piece in question.pieces(answer):
        for choice in piece.choices:
            question.took(choice.text)


def openai_response(question):
    tools = question.offering({"type": "function", "strict": False, **FUNCTION})
    answer = of_openai(question).responses.create(model=MODEL, input=question.text, stream=question.stream, **tools)
    if not question.stream:
        if answer.status != "completed":
            raise RuntimeError(f"the response is {answer.status}: {answer.error}")
        question.took(answer.output_text)
        for item in answer.output:
            if item.type == "function_call":
                question.called(item.name, item.arguments)
        return
    for event in question.pieces(answer):
        if event.type == "response.output_text.delta":
            question.took(event.delta)
        elif event.type == "response.output_item.done" and event.item.type == "function_call":
            question.called(event.item.name, event.item.arguments)
        elif event.type in ("response.failed", "response.incomplete"):
            raise RuntimeError(f"{event.type}: {event.response.error}")


def openai_embed(question):
    question.took(str(len(of_openai(question).embeddings.create(model=MODEL, input=question.text).data[0].embedding)))


def anthropic_message(question):
    client = question.by(anthropic.Anthropic(base_url=question.url, api_key=KEY, max_retries=0, timeout=TIMEOUT))
    tools = question.offering({"name": "weather", "input_schema": PARAMETERS})
    asked = {"model": MODEL, "max_tokens": 200, "messages": question.messages, **tools}
    if not question.stream:
        for block in client.messages.create(**asked).content or []:
            if block.type == "text":
                question.took(block.text)
            elif block.type == "tool_use":
                question.called(block.name, block.input)
        return
    with client.messages.stream(**asked) as events:
        for event in question.pieces(events):
            if event.type == "text":
                question.took(event.text)
            elif event.type == "content_block_stop" and event.content_block.type == "tool_use":
                question.called(event.content_block.name, event.content_block.input)


def langchain_chat(question, model):
    question.by(model)
    if question.with_tools:
        model = model.bind_tools([FUNCTION_TOOL])
    for piece in question.pieces(model.stream(question.text) if question.stream else model.invoke(question.text)):
        question.took(piece.text)
        for call in piece.tool_call_chunks if question.stream else piece.tool_calls:
            question.called(call["name"], call["args"])


def chat_ollama(question):
    return ChatOllama(model=MODEL, base_url=question.url, client_kwargs={"timeout": TIMEOUT})


def langchain_ollama_chat(question):
    langchain_chat(question, chat_ollama(question))


def langchain_ollama_embed(question):
    question.took(str(len(OllamaEmbeddings(model=MODEL, base_url=question.url).embed_query(question.text))))


def chat_openai(question):
    return ChatOpenAI(model=MODEL, base_url=f"{question.url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT)


def langchain_openai_chat(question):
    langchain_chat(question, chat_openai(question))


def of_litellm(question, model, base):
    limits = {"max_retries": 0, "timeout": TIMEOUT}
    return {"model": model, "api_base": base, "api_key": KEY, "messages": question.messages, "stream": question.stream, **limits}


def litellm_chat(question, model, base):
    take_chat_completion(question, litellm.completion(**of_litellm(question, model, base), **question.offering(FUNCTION_TOOL)))


def litellm_ollama_chat(question):
    litellm_chat(question, f"ollama_chat/{MODEL}", question.url)


def litellm_openai_chat(question):
    litellm_chat(question, f"openai/{MODEL}", f"{question.url}/v1")


def of_llama_index(question):
    model = question.by(LlamaIndexOllama(model=MODEL, base_url=question.url, request_timeout=TIMEOUT, context_window=4096))
    return model, [ChatMessage(role="user", content=question.text)]


def llama_index_chat(question):
    model, messages = of_llama_index(question)
    tools = question.offering(FUNCTION_TOOL)
    last = ChatMessage()
    answer = model.stream_chat(messages, **tools) if question.stream else model.chat(messages, **tools)
    for piece in question.pieces(answer):
        question.took(piece.delta if question.stream else piece.message.content)
        last = piece.message
    # Each piece repeats the calls of those before.
    for block in last.blocks:
        if isinstance(block, ToolCallBlock):
            question.called(block.tool_name, block.tool_kwargs)


WAYS = {
    ("ollama", "chat"): ollama_chat,
    ("ollama", "generate"): ollama_generate,
    ("ollama", "embeddings"): ollama_embed,
    ("openai", "chat"): openai_chat,
    ("openai", "completions"): openai_completion,
    ("openai", "responses"): openai_response,
    ("openai", "embeddings"): openai_embed,
    ("anthropic", "messages"): anthropic_message,
    ("langchain-ollama", "chat"): langchain_ollama_chat,
    ("langchain-ollama", "embeddings"): langchain_ollama_embed,
    ("langchain-openai", "chat"): langchain_openai_chat,
    ("litellm ollama_chat", "chat"): litellm_ollama_chat,
    ("litellm openai", "chat"): litellm_openai_chat,
    ("llama-index", "chat"): llama_index_chat,
}


def async_ollama(question):
    return question.by(ollama.AsyncClient(question.url, timeout=TIMEOUT))


def async_openai(question):
    return question.by(openai.AsyncOpenAI(base_url=f"{question.url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT))


def async_anthropic_message(question):
    client = question.by(anthropic.AsyncAnthropic(base_url=question.url, api_key=KEY, max_retries=0, timeout=TIMEOUT))
    return client.messages.create(model=MODEL, max_tokens=200, messages=question.messages, stream=True)


def async_llama_index_chat(question):
    model, messages = of_llama_index(question)
    return model.astream_chat(messages)


# Streamed answers of asynchronous clients. Some are to be awaited first.
ASYNC_STREAMS = {
    ("ollama", "chat"): lambda question: async_ollama(question).chat(MODEL, question.messages, stream=True),
    ("ollama", "generate"): lambda question: async_ollama(question).generate(MODEL, question.text, stream=True),
    ("openai", "chat"): lambda question: async_openai(question).chat.completions.create(model=MODEL, messages=question.messages, stream=True),
    ("openai", "completions"): lambda question: async_openai(question).completions.create(model=MODEL, prompt=question.text, stream=True),
    ("openai", "responses"): lambda question: async_openai(question).responses.create(model=MODEL, input=question.text, stream=True),
    ("anthropic", "messages"): async_anthropic_message,
    ("langchain-ollama", "chat"): lambda question: question.by(chat_ollama(question)).astream(question.text),
    ("langchain-openai", "chat"): lambda question: question.by(chat_openai(question)).astream(question.text),
    ("litellm ollama_chat", "chat"): lambda question: litellm.acompletion(**of_litellm(question, f"ollama_chat/{MODEL}", question.url)),
    ("litellm openai", "chat"): lambda question: litellm.acompletion(**of_litellm(question, f"openai/{MODEL}", f"{question.url}/v1")),
    ("llama-index", "chat"): async_llama_index_chat,
}


def answer(case, loop):
    route, _, how = case["way"].partition(" ")
    question = Question(case["url"], how == "stream", case.get("tools", False), case.get("hang_up"))
    outcome, error = "text", None
    try:
        if question.hang_up in ("aclose", "cancel"):
            asyncio.run_coroutine_threadsafe(question.leave(ASYNC_STREAMS[case["client"], route]), loop).result()
        else:
            WAYS[case["client"], route](question)
        if question.hang_up == "break":
            # An answer of openai is part of a cycle, so it is closed when Python collects garbage, and not before.
            gc.collect()
    # Whatever a client throws is its way to say that the answer failed.
    except Exception as thrown:
        outcome, error = "error", f"{type(thrown).__name__}: {thrown}"
    return question, {"client": case["client"], "way": case["way"], "outcome": outcome, "text": "".join(question.came), "error": error}


def main():
    # Some clients print hints; answers alone belong on standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    litellm.suppress_debug_info = True
    # A loop that runs on, as in most programs.
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    for line in sys.stdin:
        # The question lives on, with its client, until the next has been answered.
        question, answered = answer(json.loads(line), loop)
        print(json.dumps(answered), file=answers, flush=True)


if __name__ == "__main__":
    main()
