"""Puts functions under guard."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from upright import _log, _streams, _template
from upright._native import Guarded as _Guarded
from upright._options import Options
from upright._terms import ErrorTypes, On, Terms

if TYPE_CHECKING:
    from upright._native import PolicySlot
    from upright.error_recovery import CircuitBreaker, RetryStrategy

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Guarded(Protocol[P, R_co]):
    """A function under guard, with the signature of the function."""

    @property
    def __name__(self) -> str: ...

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself."""
        ...

    @property
    def strategy(self) -> RetryStrategy:
        """Its retries."""
        ...

    @property
    def breaker(self) -> CircuitBreaker | None:
        """Its circuit breaker."""
        ...

    def with_options(
        self,
        *,
        max_retries: int = ...,
        base_delay: float = ...,
        max_delay: float = ...,
        backoff_factor: float = ...,
        jitter: bool = ...,
        deadline: float | None = ...,
        attempt_timeout: float | None = ...,
        breaker: str | CircuitBreaker | None = ...,
        fallback: object = ...,
        accept: Callable[[Any], object] | None = ...,
        on: On | None = ...,
        pass_through: ErrorTypes = ...,
        idempotent: bool = ...,
        policy: PolicySlot | None = ...,
        restart: bool = ...,
        strategy: RetryStrategy | None = ...,
    ) -> Guarded[P, R_co]:
        """The function under a guard with some other options. Both share the breaker."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __get__(self, instance: None, owner: type | None = ..., /) -> Guarded[P, R_co]: ...
    @overload
    def __get__(
        self: Guarded[Concatenate[Any, Q], R_co], instance: object, owner: type | None = ..., /
    ) -> Guarded[Q, R_co]: ...


class Guard(Protocol):
    """A decorator that puts functions under guard."""

    def __call__(self, func: Callable[P, R], /) -> Guarded[P, R]: ...


class GuardedFunction(_Guarded):
    """A function under guard that is not a function of the interpreter's own, as `functools.lru_cache` makes them."""

    @property
    def strategy(self) -> RetryStrategy:
        """Its retries."""
        strategy: RetryStrategy = self._terms.strategy
        return strategy

    @property
    def breaker(self) -> CircuitBreaker | None:
        """Its circuit breaker."""
        return self.strategy.circuit_breaker

    def with_options(self, **changes: Any) -> Any:
        """The function under a guard with some other options."""
        own = vars(self)
        return _changed(own["_options"], own["_func"], changes)

    def __reduce__(self) -> str:
        return str(vars(self)["__qualname__"])

    def __repr__(self) -> str:
        return f"<guarded {vars(self)['__wrapped__']!r}>"


@overload
def guard(func: Callable[P, R], /) -> Guarded[P, R]: ...
@overload
def guard(
    func: None = None,
    /,
    *,
    max_retries: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    backoff_factor: float = 2.0,
    jitter: bool = True,
    deadline: float | None = None,
    attempt_timeout: float | None = None,
    breaker: str | CircuitBreaker | None = None,
    fallback: object = None,
    accept: Callable[[Any], object] | None = None,
    on: On | None = None,
    pass_through: ErrorTypes = (),
    idempotent: bool = True,
    policy: PolicySlot | None = None,
    restart: bool = False,
    strategy: RetryStrategy | None = None,
) -> Guard: ...
def guard(
    func: Callable[..., Any] | None = None,
    /,
    *,
    max_retries: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    backoff_factor: float = 2.0,
    jitter: bool = True,
    deadline: float | None = None,
    attempt_timeout: float | None = None,
    breaker: str | CircuitBreaker | None = None,
    fallback: object = None,
    accept: Callable[[Any], object] | None = None,
    on: On | None = None,
    pass_through: ErrorTypes = (),
    idempotent: bool = True,
    policy: PolicySlot | None = None,
    restart: bool = False,
    strategy: RetryStrategy | None = None,
) -> Any:
    """Puts a function under guard: `@upright.guard`, or with options, `@upright.guard(max_retries=5)`.

    It guards plain functions, coroutine functions, generators of both kinds, and methods. The policy decides which
    failures are retried; the last exception of the function comes out as it is, with a note.

    - `max_retries`, `base_delay`, `max_delay`, `backoff_factor`, `jitter`: at most `max_retries` retries follow the first
      attempt. The first comes after `base_delay` seconds, each later one after `backoff_factor` times as long, at most
      `max_delay` seconds. With `jitter` a delay varies by a fifth.
    - `deadline`: the limit of all attempts and waits together, seconds. `attempt_timeout`: that of one attempt. Both end
      an attempt of a coroutine function. A plain function is not interrupted: it finds the rest of its time in
      `upright.current_attempt().time_left`.
    - `breaker`: a circuit breaker, or the name of one that all of the process share.
    - `fallback`: serves where nothing else helps. It gets the same arguments; one that cannot be called is the result.
    - `accept`: says of a result whether it is one. Others are failures; the last raises `RejectedResultError`.
    - `on`: the only exceptions that may be retried, as types or as a predicate. It cannot have others retried than the
      policy does.
    - `pass_through`: types of exceptions that are control flow. No guard handles them.
    - `idempotent`: whether a repeated call does no harm. If not, only calls that never reached the service are repeated.
    - `policy`: the slot whose policy decides about retries; by default the breaker's slot, or the built-in policy.
    - `restart`: whether a generator that fails after its first item begins again, so that its reader gets items twice.
    - `strategy`: a `RetryStrategy` in place of the settings above.

    The function under guard has `with_options(...)`, `strategy`, `breaker` and `__wrapped__`.
    Raises `ValueError` or `TypeError` for options that cannot be used.
    """
    options = Options(
        max_retries=max_retries,
        base_delay=base_delay,
        max_delay=max_delay,
        backoff_factor=backoff_factor,
        jitter=jitter,
        deadline=deadline,
        attempt_timeout=attempt_timeout,
        breaker=breaker,
        fallback=fallback,
        accept=accept,
        on=on,
        pass_through=pass_through,
        idempotent=idempotent,
        policy=policy,
        restart=restart,
        strategy=strategy,
    )
    if func is None:
        return partial(_guarded, options)
    return _guarded(options, func)


def _guarded(options: Options, func: Any) -> Any:
    if isinstance(func, staticmethod):
        return staticmethod(_guarded(options, func.__func__))
    binds_class = issubclass(type(func), classmethod)
    func = getattr(func, "__func__") if binds_class else func  # noqa: B009
    if not callable(func):
        raise TypeError(f"{func!r} cannot be called; expected a function (guard the function below the property)")
    terms = options.terms(getattr(func, "__qualname__", None) or _log.name_of(func))
    made = _made(options, func, terms)
    if made is None or binds_class or _is_in_class(func):
        return _bindable(options, func, made, terms, binds_class)
    made.strategy, made.breaker = terms.strategy, terms.strategy.circuit_breaker
    made.with_options = partial(_again, options, func)
    return made


def _made(options: Options, func: Any, terms: Terms) -> Any:
    """A function that guards itself, for one whose call does not run it; `None` for a plain one."""
    if inspect.iscoroutinefunction(func):
        return update_wrapper(_template.coroutine_function(func, terms), func)
    is_async = inspect.isasyncgenfunction(func)
    if not is_async and not inspect.isgeneratorfunction(func):
        return None
    if options.accept is not None:
        raise TypeError(f"accept was given for the generator {terms.name}; expected a function with a result")
    make = _streams.async_generator if is_async else _streams.generator
    return make(func, terms, options.restart)


def _bindable(options: Options, func: Any, made: Any, terms: Terms, binds_class: bool) -> GuardedFunction:
    """An object that guards a function, or one that guards itself, and binds it as a method."""
    guarded: Any = GuardedFunction(
        func if made is None else made, terms, through=made is not None, binds_class=binds_class
    )
    update_wrapper(guarded, func)
    guarded._options, guarded._func = options, classmethod(func) if binds_class else func
    if made is not None:
        # `inspect` looks at these to see the kind of a function.
        guarded.__code__, guarded.__defaults__, guarded.__kwdefaults__ = (
            made.__code__,
            made.__defaults__,
            made.__kwdefaults__,
        )
    return guarded  # type: ignore[no-any-return]


def _again(options: Options, func: Any, **changes: Any) -> Any:
    return _changed(options, func, changes)


def _changed(options: Options, func: Any, changes: dict[str, Any]) -> Any:
    return _guarded(options.changed(changes), func)


def _is_in_class(func: Any) -> bool:
    outside = getattr(func, "__qualname__", "").rpartition(".")[0]
    return bool(outside) and not outside.endswith("<locals>")
