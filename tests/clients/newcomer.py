"""A first program with LangChain: the setting in README.md alone brings its question to the gateway."""

from langchain_ollama import ChatOllama

model = ChatOllama(model="qwen3:8b")
answer = model.invoke("Why is the sky blue?")
print(answer.text)
