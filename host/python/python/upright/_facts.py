"""Reads any exception into facts.

The most specific link of an exception's chain decides, and of equally specific ones the outermost.
No exception is kept.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from upright._answers import (
    GENERAL,
    NOTHING,
    SPECIFIC,
    WHOLE,
    Facts,
    answer_of,
    endpoint_of,
    get,
    headers_of,
    joined,
    text_of,
)
from upright._known import ERRNOS, PASS_THROUGH, Known, known
from upright._native import Fault

__all__ = ["LINKS", "PASS_THROUGH", "FaultReader", "is_pass_through", "plain", "read"]

FaultReader = Callable[[BaseException], "Fault | None"]
"""A program's own reader: the fault of an exception, or None to leave it to others."""

LINKS = 32
"""Links that are read of one chain."""

_ALL_LINKS = 128  # of all chains in a group
_LINKS = ("__cause__", "__context__")
_FOREIGN_LINKS = ("__cause__", "reason", "os_error", "__context__")
_LINUX = sys.platform == "linux"  # Faults have Linux's numbers.
_LAST_ERRNO = 4095
_LOG = logging.getLogger("upright")

# Phrases that refine a general kind. `other` leaves the decision to the classifier's rules of text.
_REFINED = {
    "unreachable": {
        "dns error": "dns",
        "failed to lookup address information": "dns",
        "certificate": "tls",
        "handshake": "tls",
        "proxy authentication required": "other",
    },
    "invalid_input": {"out of memory": "other", "rate limit": "other", "model not found": "other"},
}


def read(error: BaseException, *, fault_reader: Sequence[FaultReader] = ()) -> Fault:
    """Reads an exception and its chain into facts. Never raises, even where the exception's own methods do.

    `fault_reader` holds a program's own readers. The first that returns a fault for a link of the chain decides. Next
    comes `__upright_fault__` of the link's class: a fault, or a method that returns one or None.
    """
    if not fault_reader and (kind := plain(error)) is not None:
        return Fault(kind[0], text_of(error), errno=kind[1])
    facts = _chain(error, fault_reader, set())
    if facts.strength == GENERAL and facts.kind in _REFINED:
        said = facts.message.lower()
        facts.kind = next((kind for phrase, kind in _REFINED[facts.kind].items() if phrase in said), facts.kind)
    return facts.fault()


def plain(error: BaseException) -> tuple[str, int | None] | None:
    """The kind and the error number of an exception whose type says it all; `None` for others.

    Most failures are one of the interpreter's own types, without a chain. Text and number do not change their meaning.
    """
    about = known(type(error))
    if not about.plain or error.__cause__ is not None or error.__context__ is not None:
        return None
    if any(isinstance(part, BaseException) for part in error.args):
        return None
    number = error.errno if about.numbered and _LINUX else None  # type: ignore[attr-defined]
    if number is not None and (not isinstance(number, int) or not 0 < number <= _LAST_ERRNO):
        number = None
    return about.row[0], number  # type: ignore[index]


def is_pass_through(error: BaseException) -> bool:
    """Whether an exception is a framework's control flow (see `PASS_THROUGH`)."""
    return known(type(error)).passes


def _chain(error: BaseException, readers: Sequence[FaultReader], seen: set[int]) -> Facts:
    facts = Facts()
    link: BaseException | None = error
    for depth in range(LINKS):
        if link is None or id(link) in seen or len(seen) >= _ALL_LINKS:
            break
        seen.add(id(link))
        about = known(type(link))
        if readers or about.states:
            fault = _own_fault(link, about, readers)
            if fault is not None:
                facts.kind, facts.strength, facts.whole = fault.kind, WHOLE, fault
                break
        if about.group:
            facts.add(_group(link, readers, seen))
            if facts.whole is not None:
                break
        elif depth and about.cancels:  # Something else failed as well.
            facts.take("cancelled", GENERAL)
        else:
            _link(link, about, facts)
        link = _cause(link, about)
    return facts


def _link(link: BaseException, about: Known, facts: Facts) -> None:
    """Adds what one link says."""
    read: Facts | None = None
    if not callable(about.row):
        kind, strength = about.row
        if strength > facts.strength:
            facts.kind, facts.strength = kind, strength
    else:
        read = _guarded(about.row, link) or Facts()
        strength = read.strength
    if about.foreign and strength <= GENERAL and get(link, "response") is not None:
        read = _guarded(_look_alike, link) or read
    if not facts.said and (read is None or not read.said):
        facts.message = joined(facts.message, text_of(link))
    if read is not None:
        facts.add(read)
    if about.numbered:
        number = get(link, "errno")
        if isinstance(number, int) and 0 < number <= _LAST_ERRNO:
            facts.take(ERRNOS.get(number, "other"), SPECIFIC if number in ERRNOS else NOTHING)
            if _LINUX:
                facts.further.setdefault("errno", number)
    if about.asks and "endpoint" not in facts.further:
        facts.know("endpoint", endpoint_of(get(get(link, "request"), "url")))


def _guarded(reader: Callable[[BaseException], Facts | None], link: BaseException) -> Facts | None:
    """Runs a reader; None where the exception's own methods fail."""
    try:
        return reader(link)
    except Exception:  # noqa: BLE001
        return None


def _look_alike(error: BaseException) -> Facts | None:
    """An unknown client's error status: a status, and a response with headers."""
    facts = answer_of(error) if headers_of(get(error, "response")) else None
    return facts if facts is not None and facts.further["status"] >= 400 else None


def _own_fault(link: BaseException, about: Known, readers: Sequence[FaultReader]) -> Fault | None:
    """The program's own word on an exception. A reader that fails is logged and passed over."""
    for reader in (*readers, _stated) if about.states else readers:
        try:
            fault = reader(link)
        except Exception:  # noqa: BLE001
            _LOG.warning("the fault reader %r failed", reader, exc_info=True)
            continue
        if isinstance(fault, Fault):
            return fault
    return None


def _stated(link: BaseException) -> Fault | None:
    stated: Any = getattr(link, "__upright_fault__")  # noqa: B009
    return cast("Fault | None", stated() if callable(stated) else stated)


def _group(group: BaseException, readers: Sequence[FaultReader], seen: set[int]) -> Facts:
    """The worst leaf: an invalid input, else the most specific. A cancelled one comes last."""
    read = [_chain(leaf, readers, seen) for leaf in _leaves(group)]
    if not read:
        return Facts()
    worst = max(read, key=lambda facts: (facts.kind == "invalid_input", facts.kind != "cancelled", facts.strength))
    for other in read if worst.strength == NOTHING else ():
        worst.append(other.message)
    return worst


def _leaves(group: BaseException) -> Iterator[BaseException]:
    waiting = [group]
    for _ in range(_ALL_LINKS):
        if not waiting:
            return
        error = waiting.pop()
        if known(type(error)).group:
            waiting.extend(reversed(_errors(get(error, "exceptions"))))
        else:
            yield error


def _cause(link: BaseException, about: Known) -> BaseException | None:
    """The next link. Clients put it into an attribute, into a suppressed context or among the arguments."""
    for name in _FOREIGN_LINKS if about.foreign else _LINKS:
        cause = get(link, name)
        if isinstance(cause, BaseException):
            return cause
    return next(iter(_errors(get(link, "args"))), None)


def _errors(parts: object) -> list[BaseException]:
    if not isinstance(parts, (tuple, list)):
        return []
    return [part for part in cast("Sequence[object]", parts) if isinstance(part, BaseException)]
