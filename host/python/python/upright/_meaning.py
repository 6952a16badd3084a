"""The meaning of exceptions, for loops of other libraries."""

from __future__ import annotations

from upright import _native
from upright._facts import is_pass_through, plain, read
from upright._native import Classification, Fault

_known: dict[str, Classification] = {}
"""Meanings of the exceptions whose type says it all, by their kind."""


def classify(error: BaseException) -> Classification:
    """The meaning of an exception, by the built-in policy."""
    if (own := plain(error)) is None:
        return _native.classify(read(error))
    kind = own[0]
    if kind not in _known:
        _known[kind] = _native.classify(Fault(kind))
    return _known[kind]


def is_retryable(error: BaseException) -> bool:
    """Whether a repeated call may succeed after this exception: a predicate for any library's retries."""
    return isinstance(error, Exception) and not is_pass_through(error) and classify(error).retryable


def wait_hint(error: BaseException) -> float | None:
    """The seconds that a server asked to wait, as in `Retry-After`; `None` where none did."""
    return read(error).retry_after
