"""The package from outside: its names, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import upright
from plans import refused

HEAVY = {
    "asyncio", "httpx", "logging.config", "opentelemetry", "prometheus_client", "psutil", "requests", "structlog", "trio",
    "urllib.request",
}  # fmt: skip


def modules_after(program: str) -> set[str]:
    """The modules that a program has imported."""
    source = program + "\nimport sys, threading\nassert threading.active_count() == 1\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_name_is_there() -> None:
    for name in upright.__all__:
        assert getattr(upright, name) is not None
        assert name in dir(upright)
    with pytest.raises(AttributeError, match="no_such_name"):
        upright.no_such_name  # noqa: B018


def test_importing_the_package_imports_next_to_nothing() -> None:
    added = modules_after("import upright") - modules_after("")
    assert not added & (HEAVY | {"logging", "inspect"})


def test_a_guarded_function_needs_no_client_and_no_loop_of_events() -> None:
    program = """
import upright
@upright.guard(breaker="x", base_delay=0)
def ask(failures=[1]):
    if failures:
        raise ConnectionRefusedError(failures.pop())
ask()
"""
    assert not modules_after(program) & HEAVY


def test_the_meaning_of_exceptions_serves_loops_of_others() -> None:
    assert upright.is_retryable(refused()) and upright.is_retryable(TimeoutError())
    assert not upright.is_retryable(ValueError("no number"))
    assert not upright.is_retryable(KeyboardInterrupt())
    assert upright.classify(refused()).rule == "connection-refused"


def test_the_wait_that_a_server_asked_for_is_known() -> None:
    class Busy(Exception):
        __upright_fault__ = upright.Fault("http_status", "busy", status=429, retry_after=7.5)

    assert upright.wait_hint(Busy()) == 7.5
    assert upright.wait_hint(refused()) is None
    assert upright.wait_hint(upright.CircuitOpenError("b", 4.0)) == 4.0


def test_the_wait_that_a_server_asked_for_is_kept() -> None:
    class Busy(Exception):
        __upright_fault__ = upright.Fault("http_status", "busy", status=429, retry_after=7.5)

    calls: list[int] = []

    @upright.guard
    def ask() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise Busy

    with upright.testing.instantly() as waits:
        ask()
    assert len(waits) == 1 and waits[0] >= 7.5
