"""Type checkers answer about guards. `test_types.py` compares their answers with recorded ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import ParamSpec, TypeVar

from typing_extensions import reveal_type

import upright

P = ParamSpec("P")
T = TypeVar("T")


@upright.guard
def function(number: int, *, text: str = "") -> list[str]:
    return [text] * number


@upright.guard(max_retries=5, deadline=30, breaker="ollama", fallback=[], accept=bool, on=TimeoutError, policy=None)
async def coroutine(number: int) -> list[str]:
    return []


@upright.guard(restart=True)
def generator(number: int) -> Iterator[str]:
    yield ""


@upright.guard
async def async_generator(number: int) -> AsyncIterator[str]:
    yield ""


@upright.guard(max_retries=1)
@upright.guard
def stacked(number: int) -> str:
    return ""


class Client:
    @upright.guard
    def method(self, number: int) -> str:
        return ""

    @upright.guard(max_retries=1)
    async def coroutine_method(self, number: int) -> str:
        return ""

    @classmethod
    @upright.guard
    def class_method(cls, number: int) -> str:
        return ""

    @staticmethod
    @upright.guard
    def static_method(number: int) -> str:
        return ""


def generic(func: Callable[P, T]) -> Callable[P, T]:
    guarded = upright.guard(func)
    reveal_type(guarded)  # generic
    reveal_type(upright.guard(max_retries=1)(func))  # generic, with options
    return guarded


async def uses(client: Client, error: Exception) -> None:
    reveal_type(function)  # function
    reveal_type(function(1, text="x"))  # call
    reveal_type(function.__wrapped__)  # wrapped
    reveal_type(function.strategy)  # strategy
    reveal_type(function.breaker)  # breaker
    reveal_type(function.with_options(max_retries=0))  # with_options
    reveal_type(coroutine)  # coroutine
    reveal_type(await coroutine(1))  # awaited
    reveal_type(await coroutine.with_options(deadline=1, policy=upright.PolicySlot())(1))  # awaited with options
    reveal_type(generator(1))  # generator
    reveal_type(async_generator(1))  # async generator
    reveal_type(stacked)  # stacked
    reveal_type(Client.method)  # method of the class
    reveal_type(client.method)  # method
    reveal_type(client.method(1))  # method's call
    reveal_type(client.method.with_options(max_retries=0)(1))  # method with options
    reveal_type(await client.coroutine_method(1))  # coroutine method
    reveal_type(client.class_method(1))  # class method
    reveal_type(Client.static_method(1))  # static method
    reveal_type(generic(function)(1))  # through a generic function
    for attempt in upright.attempts(max_retries=1, policy=None):
        with attempt:
            reveal_type(attempt.number)  # attempt's number
            reveal_type(attempt.time_left)  # attempt's time
    async for attempt in upright.RetryStrategy():
        with attempt:
            reveal_type(attempt.model)  # attempt's model
    with upright.breaker("index", state="state.db") as nothing:
        reveal_type(nothing)  # block
    reveal_type(upright.breaker("index").call(len, "text"))  # breaker's call
    reveal_type(upright.RetryStrategy().execute(len, "text"))  # execute
    reveal_type(upright.current_attempt())  # current attempt
    reveal_type(upright.failure_of(error))  # failure
    reveal_type(upright.classify(error))  # meaning
    reveal_type(upright.is_retryable(error))  # predicate
    reveal_type(upright.wait_hint(error))  # hint
    with upright.testing.instantly().attempts(2) as waits:
        reveal_type(waits)  # waits
    function("x")  # refused: argument
    function()  # refused: missing argument
    client.method("x")  # refused: method's argument
    await coroutine(number="x")  # refused: coroutine's argument
    upright.guard(max_retries="x")  # refused: option
    function.with_options(max_retires=1)  # refused: unknown option
    function(upright.no_such_name)  # refused: unknown name
