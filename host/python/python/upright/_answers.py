"""Facts under construction, and what an HTTP answer with an error adds. Nothing here reads from a connection."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from upright._native import Fault

NOTHING, GENERAL, SPECIFIC, WHOLE = range(4)
"""How much a reading says. A deeper link may know better than a general one; a whole one ends the search."""

MESSAGE_LIMIT = 8 * 1024
"""Bytes of text that are kept: of a longer text, both ends."""

_SURELY_SHORT = MESSAGE_LIMIT // 4  # characters
_HEAD = MESSAGE_LIMIT // 4 * 3
_GAP = " … ".encode()
_UNSAYABLE = "(this error cannot say what it is)"
_DEPTH = 8  # of nested errors in a body
_PARTS = 32  # of a list in a body
_MESSAGES = (
    "message",
    "detail",
    "msg",
    "error_description",
    "error_message",
    "errorMessage",
    "Message",
    "title",
    "reason",
)
_PAGES = ("<!doctype html", "<html", "<head", "<body", "<h1")
_URL = re.compile(r"[a-z]+://[^\s'\"]+")  # Its words are not the server's.
_ROUTES = {name: name for name in ("chat", "generate", "embed", "show", "tags", "ps", "pull", "version")}
_ROUTES["embeddings"] = "embed"


class Facts:
    """The facts that were read so far. Of each fact, the first one found stays."""

    __slots__ = ("further", "kind", "message", "said", "strength", "whole")

    def __init__(self, kind: str = "other", strength: int = NOTHING) -> None:
        self.kind = kind
        self.strength = strength
        self.message = ""
        self.said = False  # The server's own words are known: no text of a client belongs behind them.
        self.whole: Fault | None = None
        self.further: dict[str, Any] = {}  # Fields of a fault by name; never None.

    def take(self, kind: str, strength: int) -> None:
        """Takes the kind if it is more specific than the known one."""
        if strength > self.strength:
            self.kind, self.strength = kind, strength

    def add(self, other: Facts) -> None:
        """Takes from a further reading what is more specific or still unknown."""
        if other.strength > self.strength:
            self.kind, self.strength, self.whole = other.kind, other.strength, other.whole
        self.further = {**other.further, **self.further}
        self.append(other.message)
        self.said = self.said or other.said

    def know(self, name: str, value: object) -> None:
        """Takes a field of a fault, unless it is None."""
        if value is not None:
            self.further[name] = value

    def append(self, text: str) -> None:
        """Appends a text that the message does not contain."""
        if not self.said:
            self.message = joined(self.message, text)

    def hear(self, said: object) -> None:
        """Takes the server's own words, of any shape, and their labels."""
        self.message, self.said = bounded(self._words(said, _DEPTH).strip()), True

    def fault(self) -> Fault:
        """Freezes the facts."""
        return self.whole or Fault(self.kind, self.message, **self.further)

    def _words(self, said: object, depth: int) -> str:
        """The innermost message, and the texts around it that say more."""
        if isinstance(said, str):
            start = said.lstrip()[:64].lower()
            if depth and start.startswith(("{", "[")):
                try:
                    return self._words(json.loads(said), depth - 1)
                except (ValueError, RecursionError):
                    return said
            if start.startswith(_PAGES):
                self.know("error_type", "html")
                return " ".join(re.sub(r"(?is)<(script|style|svg)\b.*?</\1[^>]*>|<[^>]*>", " ", said).split())
            return said
        if isinstance(said, dict) and depth:
            said = cast("dict[str, Any]", said)
            inner: Any = said.get("error") or said.get("errors")
            is_nested = isinstance(inner, dict)
            if not is_nested:
                self._label(said)
            self.know("points_to", _name(said.get("signin_url")))
            own: Any = next((said[name] for name in _MESSAGES if said.get(name)), None)
            words = joined(self._words(inner, depth - 1), (Facts() if inner else self)._words(own, depth - 1))
            return words or json.dumps(said, default=str)
        if isinstance(said, list) and depth:
            said = cast("list[object]", said)
            return ": ".join(self._words(part, depth - 1) for part in said[:_PARTS])
        return "" if said is None else str(cast("Any", said))

    def _label(self, said: dict[Any, Any]) -> None:
        kind, code, status = said.get("type"), said.get("code"), said.get("status")
        if kind == "error":  # Labels nothing.
            kind = None
        if kind is None and "code" in said:
            kind = status
        if code is None and isinstance(status, int) and status >= 300:
            code = status
        self.know("error_type", _name(kind))
        self.know("error_code", _name(str(code) if isinstance(code, int) else code))


def answer_of(error: BaseException) -> Facts | None:
    """Facts of an answer with a status of 300 to 599, from what the client keeps of it; None without such an answer."""
    response = get(error, "response")
    found = (get(error, "status_code"), get(error, "status"), get(error, "code"), get(response, "status_code"))
    status = next((number for number in found if isinstance(number, int)), 0)
    if not 300 <= status <= 599:
        return None
    facts = Facts("http_status", SPECIFIC)
    facts.know("status", int(status))
    url = get(response, "url") or get(get(error, "request_info"), "real_url") or get(error, "url")
    facts.know("endpoint", endpoint_of(url))
    body = get(response, "_content")  # The property `content` would read from the connection.
    known = isinstance(body, bytes)
    facts.hear(body[: 8 * MESSAGE_LIMIT].decode("utf-8", "replace") if known else _URL.sub("", text_of(error)))
    headers = headers_of(response) or headers_of(error)
    facts.know("retry_after", retry_after(headers))
    facts.know("should_retry", {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower()))
    location = headers.get("location")
    if status < 400 and location:
        facts.know("points_to", bounded(location))
        facts.hear(f"it redirects to {location}")
    return facts


def headers_of(owner: object) -> dict[str, str]:
    """Headers with lower-case names; empty if the owner has none."""
    with suppress(Exception):
        return {str(name).lower(): str(value) for name, value in get(owner, "headers").items()}
    return {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The delay that an answer asks for, seconds, at least 0; None if it asks for none. Names are lower-case.

    `retry-after-ms` goes first. A date counts from the answer's own `Date`, since clocks differ.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(milliseconds / 1000, 0.0)
    asked = headers.get("retry-after", "")
    seconds = _number(asked)
    until = _date(asked) if seconds is None else None
    if until is not None:
        sent = _date(headers.get("date", ""))
        seconds = until - (time.time() if sent is None else sent)
    return None if seconds is None else max(seconds, 0.0)


def endpoint_of(url: object) -> str | None:
    """The endpoint that a URL or path names, if it is known."""
    path = ""
    with suppress(Exception):
        path = re.sub(r"^[\w+.-]+://[^/?#]*", "", str(url or "")).partition("?")[0].partition("#")[0].rstrip("/")
    before, _, last = path.rpartition("/")
    if before.endswith("/api") and last in _ROUTES:
        return _ROUTES[last]
    return "openai" if "/v1/" in path else None


def get(owner: object, name: str) -> Any:
    """An attribute; None where it is missing or fails."""
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001
        return None


def text_of(error: BaseException) -> str:
    """The text of an exception; the name of its class if the text is empty."""
    try:
        return bounded(str(error)) or f"{type(error).__module__}.{type(error).__qualname__}"
    except Exception:  # noqa: BLE001
        return _UNSAYABLE


def bounded(text: str) -> str:
    """Valid UTF-8 of at most `MESSAGE_LIMIT` bytes."""
    if len(text) <= MESSAGE_LIMIT and type(text) is str and text.isascii():
        return text
    encoded = str.encode(text, "utf-8", "replace")
    if len(encoded) > MESSAGE_LIMIT:
        encoded = encoded[:_HEAD] + _GAP + encoded[_HEAD + len(_GAP) - MESSAGE_LIMIT :]
    return encoded.decode("utf-8", "ignore")


def joined(message: str, text: str) -> str:
    """Both texts; one of them if it contains the other at its place."""
    if not text or text in message:
        return message
    longer = f"{message}: {text}" if message else text
    return longer if len(longer) <= _SURELY_SHORT else bounded(longer)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _date(text: str) -> float | None:
    from email.utils import parsedate_to_datetime

    with suppress(Exception):
        return parsedate_to_datetime(text).timestamp()
    return None


def _name(value: object) -> str | None:
    return bounded(value) if isinstance(value, str) and value else None
