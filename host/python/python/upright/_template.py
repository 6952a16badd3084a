"""Makes coroutine functions with the exact signature of others: the interpreter binds their arguments, once."""

from __future__ import annotations

from collections.abc import Callable
from inspect import CO_VARARGS, CO_VARKEYWORDS
from itertools import islice
from keyword import iskeyword
from types import CellType, CodeType, FunctionType
from typing import Any, NamedTuple

from upright._course import GENERATED, begin, outside
from upright._drive import drive_async
from upright._errors import RejectedResultError
from upright._terms import Terms

_MOST = 60  # parameters; a function with more takes any arguments

_MAKER = """
def _upright_make({free}):
    async def _upright_coroutine({parameters}):
        _upright_admitted = _upright_passes()
        if _upright_admitted is False:
            _upright_course = _upright_begin(_upright_terms, False, None)
        else:
            try:
                _upright_result = await _upright_func({call})
            except _upright_Exception as _upright_error:
                _upright_course = _upright_begin(_upright_terms, _upright_admitted, _upright_outside(_upright_error))
                if _upright_course is None:
                    raise
            else:{success}
        return await _upright_drive(_upright_course, _upright_func, ({args}), {{{kwargs}}})
    return _upright_coroutine
"""

_SUCCESS = """
                if _upright_admitted is not None:
                    _upright_passed(_upright_admitted)
                return _upright_result"""

_SUCCESS_IF_ACCEPTED = """
                if _upright_accept(_upright_result):
                    _upright_passed(_upright_admitted)
                    return _upright_result
                _upright_course = _upright_begin(_upright_terms, _upright_admitted, _upright_rejected(_upright_result))"""


class Shape(NamedTuple):
    """The names of a function's parameters."""

    positional_only: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    rest: str | None = "args"
    keyword_only: tuple[str, ...] = ()
    keywords: str | None = "kwargs"

    def names(self) -> list[str]:
        """All names."""
        odd = [name for name in (self.rest, self.keywords) if name]
        return [*self.positional_only, *self.positional, *self.keyword_only, *odd]


_ANY = Shape()
_codes: dict[tuple[Shape, tuple[str, ...]], CodeType] = {}


def coroutine_function(func: Callable[..., Any], terms: Terms) -> FunctionType:
    """A coroutine function that calls `func` under these terms, with its signature and its globals."""
    shape = _shape(func)
    values: dict[str, Any] = {
        "_upright_Exception": Exception,
        "_upright_begin": begin,
        "_upright_drive": drive_async,
        "_upright_func": func,
        "_upright_outside": outside,
        "_upright_passed": terms.strategy._passed,
        "_upright_passes": terms.strategy._passes,
        "_upright_terms": terms,
    }
    if terms.accept is not None:
        values |= {"_upright_accept": terms.accept, "_upright_rejected": RejectedResultError}
    code = _code(shape, tuple(values))
    code = code.replace(co_name=getattr(func, "__name__", "awaited"))
    cells = tuple(CellType(values[name]) for name in code.co_freevars)
    made = FunctionType(code, getattr(func, "__globals__", globals()), code.co_name, None, cells)
    if shape is not _ANY and isinstance(func, FunctionType):
        made.__defaults__, made.__kwdefaults__ = func.__defaults__, func.__kwdefaults__
    return made


def _shape(func: Callable[..., Any]) -> Shape:
    """The shape of a function; any arguments for other callables, and for odd parameters."""
    if type(func) is not FunctionType:
        return _ANY
    code = func.__code__
    names = iter(code.co_varnames)
    positional_only = tuple(islice(names, code.co_posonlyargcount))
    positional = tuple(islice(names, code.co_argcount - code.co_posonlyargcount))
    keyword_only = tuple(islice(names, code.co_kwonlyargcount))
    rest = next(names) if code.co_flags & CO_VARARGS else None
    keywords = next(names) if code.co_flags & CO_VARKEYWORDS else None
    shape = Shape(positional_only, positional, rest, keyword_only, keywords)
    all_names = shape.names()
    fits = len(all_names) <= _MOST and all(map(_is_plain, all_names))
    return shape if fits else _ANY


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name) and not name.startswith("_upright_")


def _code(shape: Shape, free: tuple[str, ...]) -> CodeType:
    """The code of a coroutine function of this shape, compiled once."""
    code = _codes.get((shape, free))
    if code is None:
        code = _codes[shape, free] = _compiled(shape, free)
    return code


def _compiled(shape: Shape, free: tuple[str, ...]) -> CodeType:
    only, positional, rest, keyword_only, keywords = shape
    parameters = [*only, *(["/"] if only else []), *positional]
    parameters += [f"*{rest}"] if rest else ["*"] if keyword_only else []
    parameters += [*keyword_only, *([f"**{keywords}"] if keywords else [])]
    args = [*only, *positional, *([f"*{rest}"] if rest else [])]
    named = [f"{name}={name}" for name in keyword_only]
    spread = [f"**{keywords}"] if keywords else []
    source = _MAKER.format(
        free=", ".join(free),
        parameters=", ".join(parameters),
        call=", ".join([*args, *named, *spread]),
        args="".join(f"{arg}, " for arg in args),
        kwargs=", ".join([*(f"{name!r}: {name}" for name in keyword_only), *spread]),
        success=_SUCCESS_IF_ACCEPTED if "_upright_accept" in free else _SUCCESS,
    )
    space: dict[str, Any] = {}
    exec(compile(source, GENERATED, "exec"), space)  # noqa: S102
    code: CodeType = space["_upright_make"](*free).__code__
    return code
