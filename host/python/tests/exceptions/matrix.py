"""The cases, and what the specification's own ten rules say about the same exceptions."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module, metadata
from typing import Any, NamedTuple

SHORT = 0.1
"""Timeout of clients that are meant to time out, seconds."""
LONG = 30.0
"""Timeout of all others, seconds."""


class Expected(NamedTuple):
    """Meaning of a failure."""

    kind: str
    category: str
    retryable: bool


REFUSED = Expected("connection_refused", "connection", True)
RESET = Expected("connection_reset", "connection", True)
DNS = Expected("dns", "connection", True)
UNREACHABLE = Expected("unreachable", "connection", True)
TLS = Expected("tls", "connection", False)
TIMEOUT = Expected("timeout", "timeout", True)
BUSY_POOL = Expected("bulkhead_full", "transient", True)
CUT = Expected("incomplete_answer", "transient", True)
UNREADABLE = Expected("invalid_answer", "transient", True)
WEB_PAGE = Expected("invalid_answer", "permanent", False)
REJECTED = Expected("rejected_result", "transient", True)
INPUT = Expected("invalid_input", "permanent", False)
MISSING = Expected("not_found", "permanent", False)
FORBIDDEN = Expected("permission_denied", "permanent", False)
MEMORY = Expected("out_of_memory", "resource", False)
DISK = Expected("disk_full", "resource", False)
FILES = Expected("too_many_open_files", "resource", True)
CANCELLED = Expected("cancelled", "permanent", False)
PASSING_STATUS = Expected("http_status", "transient", True)
LASTING_STATUS = Expected("http_status", "permanent", False)
MODEL_TOO_LARGE = Expected("http_status", "resource", False)
PASSING_STREAM = Expected("stream_error", "transient", True)
MEMORY_STREAM = Expected("stream_error", "resource", True)
MEMORY_TEXT = Expected("other", "resource", False)
UNKNOWN = Expected("other", "unknown", False)


class Case(NamedTuple):
    """Something that must fail."""

    name: str
    expected: Expected
    run: Callable[[], Any]
    facts: dict[str, object]


class Absent(Exception):
    """This version of a client, or this machine, has no such failure."""


CASES: list[Case] = []


def fails(name: str, expected: Expected, **facts: object) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Registers a function that must raise. Of the fault, also these facts must hold."""

    def register(run: Callable[[], Any]) -> Callable[[], Any]:
        CASES.append(Case(name, expected, run, facts))
        return run

    return register


def version(package: str) -> tuple[int, ...]:
    """Major and minor version of an installed package."""
    return tuple(int(part) for part in metadata.version(package).split(".")[:2])


def raised(case: Case) -> BaseException | None:
    """Runs a case. Returns what it raised; passes `Absent` on."""
    try:
        result = case.run()
        if isinstance(result, Awaitable):
            asyncio.run(awaited(result))
    except Absent:
        raise
    except BaseException as error:  # noqa: BLE001
        return error
    return None


async def awaited(result: Awaitable[Any]) -> None:
    """Awaits a result, whatever its type."""
    await result


def retried_by_reference(error: BaseException) -> bool:
    """Whether the ten rules of the specification's own code retry."""
    import requests

    text = str(error).lower()
    rules: tuple[tuple[bool, bool], ...] = (
        (isinstance(error, (requests.ConnectionError, ConnectionRefusedError)), True),
        (isinstance(error, (requests.Timeout, TimeoutError)), True),
        (isinstance(error, MemoryError) or "out of memory" in text, False),
        (isinstance(error, OSError) and "disk" in text, False),
        ("model not found" in text or "404" in text, False),
        ("rate limit" in text or "429" in text, True),
        (any(status in text for status in ("500", "502", "503", "504")), True),
        (isinstance(error, PermissionError), False),
        (isinstance(error, (ValueError, TypeError)), False),
    )
    return next((retried for matches, retried in rules if matches), False)


def examine(case: Case) -> dict[str, object]:
    """Runs a case and describes the outcome."""
    from upright import _native
    from upright._facts import read

    row: dict[str, object] = {"case": case.name, "expected": case.expected}
    try:
        error = raised(case)
    except Absent as absent:
        return row | {"absent": str(absent)}
    if error is None:
        return row | {"type": "nothing was raised", "right": False}
    fault = read(error)
    found = {name: getattr(fault, name) for name in case.facts}
    right = fault.kind == case.expected.kind and found == case.facts
    row |= {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "kind": fault.kind,
        "message": fault.message,
    }
    row |= {"facts": found, "wanted_facts": case.facts}
    classify = getattr(_native, "classify", None)
    if classify is not None:
        meaning = classify(fault)
        row |= {
            "category": getattr(meaning.category, "value", meaning.category),
            "retryable": meaning.retryable,
            "rule": meaning.rule,
        }
        right = right and (row["category"], row["retryable"]) == case.expected[1:]
    return row | {"right": right, "reference_right": retried_by_reference(error) == case.expected.retryable}


def main() -> None:
    """Examines all cases; writes one line of JSON for each."""
    for module in ("cases_python", "cases_http", "cases_models", "cases_tools"):
        import_module(module)
    for case in CASES:
        sys.stdout.write(json.dumps(examine(case)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    import_module("matrix").main()
