"""Values that are kept with their time, in a bounded mapping."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

MOST = 10_000


class Timestamped(MutableMapping[str, dict[str, Any]]):
    """Keeps at most 10,000 entries, each `{name: value, "timestamp": seconds since 1970}`; the oldest goes first.

    Values are kept by reference. Each operation is one of a dict's, so threads may share it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._entries: dict[str, dict[str, Any]] = {}

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._entries[key]

    def __setitem__(self, key: str, entry: dict[str, Any]) -> None:
        if self._name not in entry or "timestamp" not in entry:
            raise ValueError(f"an entry has {sorted(entry)}; expected {self._name!r} and 'timestamp'")
        # A new entry goes to the end, so that the first is the oldest.
        self._entries.pop(key, None)
        self._entries[key] = entry
        while len(self._entries) > MOST:
            self._entries.pop(next(iter(self._entries)), None)

    def __delitem__(self, key: str) -> None:
        del self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, {len(self)} entries)"
