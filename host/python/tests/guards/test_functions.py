"""A guarded function looks like the function."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import inspect
import pickle
import pydoc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import upright
from plans import Plan

pytestmark = pytest.mark.usefixtures("upright_instantly")


def plain(first: int, /, second: str = "b", *rest: int, third: bool = False, **others: float) -> tuple[Any, ...]:
    """Plain words."""
    return first, second, rest, third, others


async def coroutine(
    first: int, /, second: str = "b", *rest: int, third: bool = False, **others: float
) -> tuple[Any, ...]:
    """Words of a coroutine."""
    return first, second, rest, third, others


def generator(first: int, second: str = "b") -> Iterator[Any]:
    """Words of a generator."""
    yield first
    yield second


async def async_generator(first: int, second: str = "b") -> AsyncIterator[Any]:
    """Words of an asynchronous generator."""
    yield first
    yield second


FUNCTIONS = [plain, coroutine, generator, async_generator]
guarded_plain = upright.guard(plain)
KINDS: list[Callable[[Any], bool]] = [
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    asyncio.iscoroutinefunction,
]


@pytest.mark.parametrize("func", FUNCTIONS)
@pytest.mark.parametrize("is_one", KINDS)
def test_the_kind_of_a_function_stays(func: Any, is_one: Callable[[Any], bool]) -> None:
    assert is_one(upright.guard(func)) == is_one(func)


@pytest.mark.parametrize("func", FUNCTIONS)
def test_name_documentation_and_signature_stay(func: Any) -> None:
    guarded = upright.guard(func)
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(guarded, name) == getattr(func, name)
    assert inspect.signature(guarded) == inspect.signature(func)
    assert guarded.__wrapped__ is func
    assert str(func.__doc__) in pydoc.render_doc(guarded)


def test_a_coroutine_function_has_the_exact_signature_itself() -> None:
    guarded: Any = upright.guard(coroutine)
    assert inspect.signature(guarded, follow_wrapped=False).replace(return_annotation=inspect.Signature.empty)
    names = list(inspect.signature(guarded, follow_wrapped=False).parameters)
    assert names == ["first", "second", "rest", "third", "others"]
    assert guarded.__globals__ is coroutine.__globals__
    with pytest.raises(TypeError, match="first"):
        guarded()


def test_every_kind_of_argument_arrives() -> None:
    arguments: Any = (1, "c", 2, 3)
    for func in (plain, lambda *a, **k: asyncio.run(upright.guard(coroutine)(*a, **k)), upright.guard(plain)):
        assert func(*arguments, third=True, fourth=4.0) == (1, "c", (2, 3), True, {"fourth": 4.0})
        assert func(1) == (1, "b", (), False, {})


def test_every_kind_of_argument_arrives_at_a_retry() -> None:
    plan = Plan(2)

    @upright.guard
    async def ask(first: int, /, second: str = "b", *rest: int, third: bool = False, **others: float) -> Any:
        return plan(first, second, *rest, third=third, **others)

    asyncio.run(ask(1, "c", 2, third=True, fourth=4.0))
    assert plan.calls == [((1, "c", 2), {"third": True, "fourth": 4.0})] * 3


def test_odd_names_of_parameters_are_no_trouble() -> None:
    space: dict[str, Any] = {}
    names = ", ".join(f"p{number}" for number in range(70))
    exec(f"async def many({names}): return p69\nasync def clash(_upright_func, Exception): return Exception", space)  # noqa: S102
    assert asyncio.run(upright.guard(space["many"])(*range(70))) == 69
    assert asyncio.run(upright.guard(space["clash"])(1, Exception=2)) == 2


def test_a_module_that_names_something_exception_is_no_trouble() -> None:
    space: dict[str, Any] = {"Exception": None, "plan": Plan(1)}
    exec("async def ask(): return plan()", space)  # noqa: S102
    assert asyncio.run(upright.guard(space["ask"])()) == "answer"


def test_a_guarded_function_pickles_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(named)) is named
    assert pickle.loads(pickle.dumps(named_coroutine)) is named_coroutine
    assert copy.deepcopy(named) is named


@upright.guard
def named() -> str:
    """Has a name in this module."""
    return "named"


@upright.guard
async def named_coroutine() -> str:
    """Has a name in this module."""
    return "named"


class Client:
    """Has methods of every kind under guard."""

    def __init__(self, failures: int = 1) -> None:
        self.plan = Plan(failures)

    @upright.guard
    def ask(self, *args: Any) -> Any:
        """Asks."""
        return self.plan(*args)

    @upright.guard
    async def ask_async(self, *args: Any) -> Any:
        """Asks."""
        return self.plan(*args)

    @upright.guard
    def stream(self) -> Iterator[Any]:
        """Streams."""
        yield self.plan()

    @upright.guard
    async def stream_async(self) -> AsyncIterator[Any]:
        """Streams."""
        yield self.plan()

    @classmethod
    @upright.guard
    def of_class(cls, plan: Plan) -> Any:
        """Asks."""
        return cls, plan()

    @upright.guard
    @classmethod
    def above(cls, plan: Plan) -> Any:
        """Asks."""
        return cls, plan()

    @upright.guard
    @classmethod
    async def above_async(cls, plan: Plan) -> Any:
        """Asks."""
        return cls, plan()

    @staticmethod
    @upright.guard
    def static(plan: Plan) -> Any:
        """Asks."""
        return plan()

    @upright.guard
    @staticmethod
    def above_static(plan: Plan) -> Any:
        """Asks."""
        return plan()


def test_methods_of_every_kind_are_retried() -> None:
    above: Any = Client.above
    above_async: Any = Client.above_async
    above_static: Any = Client.above_static

    async def collected() -> list[Any]:
        return [item async for item in Client().stream_async()]

    assert Client().ask() == "answer"
    assert asyncio.run(Client().ask_async()) == "answer"
    assert list(Client().stream()) == ["answer"]
    assert asyncio.run(collected()) == ["answer"]
    assert Client.of_class(Plan(1)) == (Client, "answer")
    assert above(Plan(1)) == (Client, "answer")
    assert asyncio.run(above_async(Plan(1))) == (Client, "answer")
    assert Client.static(Plan(1)) == above_static(Plan(1)) == "answer"


@pytest.mark.parametrize("name", ["ask", "ask_async", "stream", "stream_async"])
def test_a_bound_method_looks_like_the_method(name: str) -> None:
    client = Client()
    bound, plain_method = getattr(client, name), getattr(Client, name).__wrapped__
    for is_one in KINDS:
        assert is_one(bound) == is_one(getattr(Client, name)) == is_one(plain_method)
    assert inspect.signature(bound) == inspect.signature(plain_method.__get__(client))
    assert bound.__self__ is client and bound.__name__ == name and bound.__doc__ == plain_method.__doc__
    assert bound == getattr(client, name) and hash(bound) == hash(getattr(client, name))
    assert bound != getattr(Client(), name)


def test_a_bound_method_stays_bound_with_other_options() -> None:
    client = Client(9)
    with pytest.raises(ConnectionRefusedError):
        client.ask.with_options(max_retries=1)("x")
    assert client.plan.calls == [(("x",), {})] * 2
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(client.ask_async.with_options(max_retries=0)("y"))
    assert client.plan.calls[2:] == [(("y",), {})]


def test_a_bound_method_has_the_functions_attributes() -> None:
    assert Client().ask.strategy is Client.ask.strategy
    assert Client().ask.__wrapped__() == "answer" if Client(0) is None else True
    assert Client(0).ask.__wrapped__() == "answer"


def test_a_bound_method_pickles_with_its_object() -> None:
    assert pickle.loads(pickle.dumps(Client(0).ask)).__name__ == "ask"


def test_a_subclass_inherits_and_extends_a_guarded_method() -> None:
    class Other(Client):
        @upright.guard(max_retries=0)
        def ask(self, *args: Any) -> Any:
            return "other " + super().ask(*args)

    assert Other().ask() == "other answer"


def test_a_method_of_a_dataclass_is_guarded() -> None:
    @dataclasses.dataclass
    class Row:
        plan: Plan

        @upright.guard
        def ask(self) -> Any:
            return self.plan()

    assert Row(Plan(1)).ask() == "answer"


def test_single_dispatch_finds_guarded_functions() -> None:
    @functools.singledispatch
    def shown(value: Any) -> str:
        return "any"

    @shown.register
    @upright.guard
    def _(value: int) -> str:
        return "int"

    assert shown(1) == "int" and shown("x") == "any"


def test_a_function_can_be_referred_to_weakly_and_carry_attributes() -> None:
    import weakref

    guarded: Any = upright.guard(lambda: None)
    guarded.mark = 1
    assert weakref.ref(guarded)() is guarded and guarded.mark == 1


@pytest.fixture
@upright.guard
def from_guarded_fixture(request: pytest.FixtureRequest) -> str:
    """A fixture under guard."""
    return str(request.node.name)


def test_a_fixture_can_be_guarded(from_guarded_fixture: str) -> None:
    assert from_guarded_fixture == "test_a_fixture_can_be_guarded"


def test_fastapi_takes_guarded_functions_as_routes_and_dependencies() -> None:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    @upright.guard
    def dependency(key: str) -> str:
        return key

    @app.get("/plain")
    @upright.guard
    def plain_route(number: int, found: str = fastapi.Depends(dependency)) -> str:
        return found * number

    @app.get("/coroutine")
    @upright.guard
    async def coroutine_route(number: int, found: str = fastapi.Depends(dependency)) -> str:
        return found * number

    for path in ("/plain", "/coroutine"):
        parameters = app.openapi()["paths"][path]["get"]["parameters"]
        assert [parameter["name"] for parameter in parameters] == ["number", "key"]
    calls = [route.dependant.call for route in app.routes if route.path in ("/plain", "/coroutine")]
    assert [asyncio.iscoroutinefunction(call) for call in calls] == [False, True]
