"""Error recovery for local-first AI programs: retries, circuit breakers, fallbacks, and the reason why.

import upright

@upright.guard(breaker="ollama", deadline=30)
async def ask(prompt: str) -> str: ...
"""

from __future__ import annotations

import importlib

# Known to type checkers by its name: the module `typing` costs more than this one.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from upright import hooks, testing
    from upright._attempts import attempts
    from upright._breakers import breaker
    from upright._current import current_attempt, override
    from upright._errors import AnswerError, CircuitOpenError, RejectedResultError
    from upright._failure import Failure, failure_of
    from upright._guard import guard
    from upright._hearing import add_hook, remove_hook
    from upright._meaning import classify, is_retryable, wait_hint
    from upright._manager import RecoveryManager
    from upright._native import Fault, PolicySlot, State
    from upright.error_recovery import CircuitBreaker, RetryStrategy

__all__ = [
    "AnswerError",
    "CircuitBreaker",
    "CircuitOpenError",
    "Failure",
    "Fault",
    "PolicySlot",
    "RecoveryManager",
    "RejectedResultError",
    "RetryStrategy",
    "State",
    "add_hook",
    "attempts",
    "breaker",
    "classify",
    "current_attempt",
    "failure_of",
    "guard",
    "hooks",
    "is_retryable",
    "override",
    "remove_hook",
    "testing",
    "wait_hint",
]

# Modules are imported when a name of theirs is used first: a program pays for what it uses.
_HOMES = {
    "CircuitBreaker": "error_recovery",
    "AnswerError": "_errors",
    "CircuitOpenError": "_errors",
    "Failure": "_failure",
    "Fault": "_native",
    "PolicySlot": "_native",
    "RecoveryManager": "_manager",
    "RejectedResultError": "_errors",
    "RetryStrategy": "error_recovery",
    "State": "_native",
    "add_hook": "_hearing",
    "attempts": "_attempts",
    "breaker": "_breakers",
    "classify": "_meaning",
    "current_attempt": "_current",
    "failure_of": "_failure",
    "guard": "_guard",
    "is_retryable": "_meaning",
    "override": "_current",
    "remove_hook": "_hearing",
    "wait_hint": "_meaning",
}


if not TYPE_CHECKING:
    # Hidden from type checkers, which would believe that every name exists.
    def __getattr__(name):
        if name in ("hooks", "testing"):
            return importlib.import_module(f"upright.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'upright' has no attribute {name!r}")
        found = globals()[name] = getattr(importlib.import_module(f"upright.{_HOMES[name]}"), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
