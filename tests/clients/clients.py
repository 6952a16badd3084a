"""Unmodified clients from PyPI, asked one question after another.

`python clients.py` reads cases from standard input, one JSON object a line:
`{"url": "http://127.0.0.1:11444", "client": "openai", "way": "chat stream", "tools": false}`.
It writes one line for each: `{"client": …, "way": …, "outcome": "text" | "error", "text": …, "error": …}`. `text` has
what reached the caller, also before an error. No client retries by itself.
"""

import json
import os
import sys

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
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "Tells the weather", "parameters": PARAMETERS}
FUNCTION_TOOL = {"type": "function", "function": FUNCTION}


class Question:
    """A question, and what has come of its answer."""

    def __init__(self, url, stream, tools):
        self.url, self.stream, self.with_tools = url, stream, tools
        self.text = "What is the weather in Oslo?" if tools else "Hello?"
        self.messages = [{"role": "user", "content": self.text}]
        self.came = []

    def offering(self, tool):
        return {"tools": [tool]} if self.with_tools else {}

    def took(self, text):
        self.came.append(text or "")

    def called(self, name, arguments):
        """Takes a tool call. Arguments may come as text, in pieces."""
        self.took(name)
        self.took(arguments if isinstance(arguments, str) else json.dumps(arguments, separators=(",", ":")) if arguments else "")


def ollama_chat(question):
    client = ollama.Client(question.url, timeout=TIMEOUT)
    answer = client.chat(MODEL, question.messages, stream=question.stream, **question.offering(FUNCTION_TOOL))
    for piece in answer if question.stream else [answer]:
        question.took(piece.message.content)
        for call in piece.message.tool_calls or []:
            question.called(call.function.name, dict(call.function.arguments))


def ollama_generate(question):
    client = ollama.Client(question.url, timeout=TIMEOUT)
    answer = client.generate(MODEL, question.text, stream=question.stream)
    for piece in answer if question.stream else [answer]:
        question.took(piece.response)


def ollama_embed(question):
    question.took(str(len(ollama.Client(question.url, timeout=TIMEOUT).embed(MODEL, question.text).embeddings[0])))


def of_openai(question):
    return openai.OpenAI(base_url=f"{question.url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT)


def take_chat_completion(question, answer):
    """Takes a chat completion in OpenAI's form, of whatever client."""
    for piece in answer if question.stream else [answer]:
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
    for piece in answer if question.stream else [answer]:
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
    for event in answer:
        if event.type == "response.output_text.delta":
            question.took(event.delta)
        elif event.type == "response.output_item.done" and event.item.type == "function_call":
            question.called(event.item.name, event.item.arguments)
        elif event.type in ("response.failed", "response.incomplete"):
            raise RuntimeError(f"{event.type}: {event.response.error}")


def openai_embed(question):
    question.took(str(len(of_openai(question).embeddings.create(model=MODEL, input=question.text).data[0].embedding)))


def anthropic_message(question):
    client = anthropic.Anthropic(base_url=question.url, api_key=KEY, max_retries=0, timeout=TIMEOUT)
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
        for event in events:
            if event.type == "text":
                question.took(event.text)
            elif event.type == "content_block_stop" and event.content_block.type == "tool_use":
                question.called(event.content_block.name, event.content_block.input)


def langchain_chat(question, model):
    if question.with_tools:
        model = model.bind_tools([FUNCTION_TOOL])
    for piece in model.stream(question.text) if question.stream else [model.invoke(question.text)]:
        question.took(piece.text)
        for call in piece.tool_call_chunks if question.stream else piece.tool_calls:
            question.called(call["name"], call["args"])


def langchain_ollama_chat(question):
    langchain_chat(question, ChatOllama(model=MODEL, base_url=question.url, client_kwargs={"timeout": TIMEOUT}))


def langchain_ollama_embed(question):
    question.took(str(len(OllamaEmbeddings(model=MODEL, base_url=question.url).embed_query(question.text))))


def langchain_openai_chat(question):
    langchain_chat(question, ChatOpenAI(model=MODEL, base_url=f"{question.url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT))


def litellm_chat(question, model, base):
    asked = {"model": model, "api_base": base, "api_key": KEY, "messages": question.messages, "stream": question.stream}
    take_chat_completion(question, litellm.completion(**asked, **question.offering(FUNCTION_TOOL), max_retries=0, timeout=TIMEOUT))


def litellm_ollama_chat(question):
    litellm_chat(question, f"ollama_chat/{MODEL}", question.url)


def litellm_openai_chat(question):
    litellm_chat(question, f"openai/{MODEL}", f"{question.url}/v1")


def llama_index_chat(question):
    model = LlamaIndexOllama(model=MODEL, base_url=question.url, request_timeout=TIMEOUT, context_window=4096)
    messages, tools = [ChatMessage(role="user", content=question.text)], question.offering(FUNCTION_TOOL)
    last = ChatMessage()
    answer = model.stream_chat(messages, **tools) if question.stream else [model.chat(messages, **tools)]
    for piece in answer:
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


def answer(case):
    route, _, how = case["way"].partition(" ")
    question = Question(case["url"], how == "stream", case.get("tools", False))
    outcome, error = "text", None
    try:
        WAYS[case["client"], route](question)
    # Whatever a client throws is its way to say that the answer failed.
    except Exception as thrown:
        outcome, error = "error", f"{type(thrown).__name__}: {thrown}"
    return {"client": case["client"], "way": case["way"], "outcome": outcome, "text": "".join(question.came), "error": error}


def main():
    # Some clients print hints; answers alone belong on standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    litellm.suppress_debug_info = True
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
