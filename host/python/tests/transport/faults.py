"""The faults of a real Ollama that clients take for success, on the routes of each client."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from servers import Answer, Asked, recordings

PATHS = ("/api/chat", "/v1/chat/completions", "/api/generate", "/v1/completions", "/v1/responses", "/v1/messages")

Two = tuple[str, str]
"""Recordings of a streamed and of a whole answer."""


class Fault(NamedTuple):
    """A fault."""

    name: str
    of: dict[str, Two]
    """Recordings by path; a path is missing if the fault was not recorded there, or is none there."""
    after_content: bool
    """Whether a stream has content before it, so that nothing can be repeated unseen."""
    says: tuple[str, ...]
    """Words of which the caller's error has some."""

    @property
    def is_of_the_window(self) -> bool:
        return self.name == "the question is longer than the window"

    @property
    def has_tools(self) -> bool:
        return self.name == "a tool call is cut"


def _by_path(*names: str | None) -> dict[str, Two]:
    """Recordings by path, from the names of streamed answers."""
    found = {}
    for path, name in zip(PATHS, names):
        if name is None:
            continue
        if name.endswith("-v1"):
            whole = name.removesuffix("-v1") + "-whole-v1"
        else:
            whole = f"{name}-whole"
        found[path] = (name, whole)
    return found


_SAYS_CUT = "is not whole after"
FAULTS = (
    Fault(
        "the inner server dies in the middle",
        _by_path("cut", "cut-v1", "g-inner-cut", "c-inner-cut", "r-inner-cut", "m-inner-cut"),
        True,
        ("an error was encountered while running the model", _SAYS_CUT),
    ),
    Fault(
        "the inner server ends without an end",
        _by_path(
            "ends-early",
            "ends-early-v1",
            "g-inner-ends-early",
            "c-inner-ends-early",
            "r-ends-early",
            "m-inner-ends-early",
        ),
        True,
        (_SAYS_CUT,),
    ),
    Fault(
        "the inner server sends an error event",
        _by_path("error-event", "error-event-v1", "g-inner-error-event", None, "r-inner-error-event", "m-error-event"),
        True,
        (_SAYS_CUT,),
    ),
    Fault(
        "endless repetition",
        _by_path("repeat", "repeat-v1", None, None, "r-repeat", "m-repeat"),
        True,
        (_SAYS_CUT,),
    ),
    Fault(
        "the model writes nothing",
        {
            "/api/chat": ("empty-stream", "empty"),
            "/v1/chat/completions": ("empty-stream-v1", "empty-v1"),
            # A completion may be empty.
            **_by_path(None, None, "g-empty", None, "r-empty", "m-empty"),
        },
        False,
        ("is empty",),
    ),
    Fault("a tool call is cut", _by_path("tool-call-cut", "tool-call-cut-v1"), False, ("is empty",)),
    Fault(
        "the question is longer than the window",
        _by_path("long", "long-v1", "g-long", "c-long", "r-long", "m-long"),
        False,
        ("exceeds the available context size", "dropped a part of the question"),
    ),
    Fault(
        "a 500 at once",
        _by_path("inner-500-caller", "inner-500-caller-v1", "g-inner-500", "c-inner-500", "r-inner-500", "m-inner-500"),
        False,
        ("Compute error",),
    ),
)
_HEALTHY = _by_path(
    "plain-longer", "plain-longer-v1", "g-plain-longer", "c-plain-longer", "r-plain-longer", "m-plain-longer"
)
_LARGE = 6000
"""A window that the long question fits, tokens."""


def is_streamed(asked: Asked) -> bool:
    """Whether a request asks for a stream: by default Ollama's own routes do."""
    return bool(asked.json.get("stream", asked.path.startswith("/api/")))


def host(fault: Fault, healed: bool) -> Callable[[Asked], Answer]:
    """A host with a fault: for its first answer (`healed`) or for ever. A window that is large enough mends its own."""
    made: list[str] = []

    def choose(asked: Asked) -> Answer:
        faulty, healthy = fault.of[asked.path], _HEALTHY[asked.path]
        name = (healthy if healed and made else faulty)[0 if is_streamed(asked) else 1]
        if fault.is_of_the_window and asked.path.startswith("/api/"):
            if (asked.json.get("options") or {}).get("num_ctx", 0) > _LARGE:
                name = healthy[0 if is_streamed(asked) else 1]
            elif asked.json.get("truncate") is False:
                name = "long-refused"
        made.append(name)
        return recordings()[name]

    return choose
