"""Unmodified clients from PyPI that ask many questions at once.

`python many.py` reads a list of cases from each line of standard input, one JSON array:
`[{"url": "http://127.0.0.1:11444", "client": "ollama", "text": "Hello?", "sampling": {"seed": 5}}, …]`. It writes one
line with an array of their answers, in their order: `{"text": …, "error": …}`. `text` has what reached the caller, also
before an error. Each answer is streamed, and no client retries by itself.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import anthropic
import ollama
import openai

MODEL = "m"
KEY = "none"
TIMEOUT = 60.0


def ollama_chat(case, messages):
    for piece in ollama.Client(case["url"], timeout=TIMEOUT).chat(MODEL, messages, stream=True, options=case["sampling"]):
        yield piece.message.content


def of_openai(case):
    return openai.OpenAI(base_url=f"{case['url']}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT)


def openai_chat(case, messages):
    for piece in of_openai(case).chat.completions.create(model=MODEL, messages=messages, stream=True, **case["sampling"]):
        for choice in piece.choices:
            yield choice.delta.content


def openai_response(case, _messages):
    for event in of_openai(case).responses.create(model=MODEL, input=case["text"], stream=True, **case["sampling"]):
        if event.type == "response.output_text.delta":
            yield event.delta
        elif event.type in ("response.failed", "response.incomplete"):
            raise RuntimeError(f"{event.type}: {event.response.error}")


def anthropic_message(case, messages):
    client = anthropic.Anthropic(base_url=case["url"], api_key=KEY, max_retries=0, timeout=TIMEOUT)
    # Its streams know no temperature.
    asked = {"model": MODEL, "max_tokens": 1000, "messages": messages, "extra_body": case["sampling"]}
    with client.messages.stream(**asked) as events:
        for event in events:
            if event.type == "text":
                yield event.text


CLIENTS = {"ollama": ollama_chat, "openai": openai_chat, "openai responses": openai_response, "anthropic": anthropic_message}


def answer(case):
    came, error = [], None
    try:
        for text in CLIENTS[case["client"]](case, [{"role": "user", "content": case["text"]}]):
            came.append(text or "")
    # Whatever a client throws is its way to say that the answer failed.
    except Exception as thrown:
        error = f"{type(thrown).__name__}: {thrown}"
    return {"text": "".join(came), "error": error}


def main():
    with ThreadPoolExecutor(64) as threads:
        for line in sys.stdin:
            print(json.dumps(list(threads.map(answer, json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
