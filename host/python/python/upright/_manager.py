"""A manager whose state outlives the process, and whose policy can be swapped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, MutableMapping
from os import PathLike, fspath
from typing import Any, Protocol, TypeVar

from upright import error_recovery
from upright._kept import Timestamped
from upright._native import PolicySlot, State

T = TypeVar("T")


class Codec(Protocol):
    """Writes a value as JSON text, and reads it. The module `json` is one."""

    def dumps(self, obj: Any, /) -> str:
        """The value as JSON text."""
        ...

    def loads(self, s: str, /) -> Any:
        """The value of JSON text."""
        ...


class StoredCheckpoints(MutableMapping[str, dict[str, Any]]):
    """Checkpoints in a store, each `{"state": …, "timestamp": seconds since 1970}`.

    A checkpoint is on the disk when it is set. One that the codec cannot write raises `TypeError`, and the old one stays.
    """

    def __init__(self, state: State, codec: Codec) -> None:
        self._state, self._codec = state, codec

    def __getitem__(self, key: str) -> dict[str, Any]:
        found = self._state.load(key)
        if found is None:
            raise KeyError(key)
        return {"state": self._codec.loads(found[0]), "timestamp": found[1]}

    def __setitem__(self, key: str, entry: dict[str, Any]) -> None:
        try:
            text = self._codec.dumps(entry["state"])
        except (TypeError, ValueError) as error:
            expected = "expected a value that JSON can hold, or a codec for it"
            raise TypeError(f"the state of checkpoint {key!r} cannot be written: {error}; {expected}") from error
        self._state.save(key, text)

    def __delitem__(self, key: str) -> None:
        if not self._state.remove(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.keys())

    def __len__(self) -> int:
        return len(self._state.keys())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._state.load(key) is not None

    def clear(self) -> None:
        """Removes all checkpoints."""
        self._state.clear()

    def __repr__(self) -> str:
        return f"StoredCheckpoints({self._state.address!r})"


class RecoveryManager(error_recovery.RecoveryManager):
    """Ties retries, classification, degradation, health checks and checkpoints together.

    `state` is a `State`, or the address of one: a file's path, or `:memory:`. Checkpoints are kept there, and the phase
    of the breaker under the manager's `name`, which programs of this machine share. Without it both end with the process.
    `codec` writes checkpoints; its default is JSON. The arguments that `execute_with_recovery` keeps stay in memory.

    `policy` is the slot whose policy decides. `journal` is a file that its decisions are recorded in, where no slot is
    given. Both are for the manager's own strategy: one that is given has its own.
    """

    def __init__(
        self,
        retry_strategy: error_recovery.RetryStrategy | None = None,
        fallback_models: list[str] | None = None,
        *,
        name: str = "operation",
        state: State | str | PathLike[str] | None = None,
        codec: Codec = json,
        policy: PolicySlot | None = None,
        journal: str | PathLike[str] | None = None,
    ) -> None:
        if policy is not None and journal is not None:
            raise ValueError("policy and journal are given; expected one of them: PolicySlot(journal=…) records a slot's decisions")
        self.policy = policy or PolicySlot(journal=journal)
        self.state = state if state is None or isinstance(state, State) else State(fspath(state))
        if retry_strategy is None:
            settings = error_recovery._IN_A_ROW
            breaker = error_recovery.CircuitBreaker._of(name, settings, self.policy, self.state)
            retry_strategy = error_recovery.RetryStrategy._of(breaker=breaker, policy=self.policy, more={})
        super().__init__(retry_strategy, fallback_models)
        self._arguments: MutableMapping[str, dict[str, Any]] = Timestamped("state")
        if self.state is not None:
            self.checkpoints = StoredCheckpoints(self.state, codec)

    def execute_with_recovery(
        self,
        func: Callable[..., T],
        *args: Any,
        fallback: Callable[..., T] | None = None,
        checkpoint_key: str | None = None,
        **kwargs: Any,
    ) -> T:
        """Calls a function with retries. Its arguments are kept in memory under `checkpoint_key`.

        Raises the function's own last exception, after the classifier has recorded it.
        """
        if checkpoint_key and self.state is not None:
            # Any object may be an argument, and many cannot be written.
            self._arguments[checkpoint_key] = {"state": {"args": args, "kwargs": kwargs}, "timestamp": time.time()}
            checkpoint_key = None
        return super().execute_with_recovery(func, *args, fallback=fallback, checkpoint_key=checkpoint_key, **kwargs)

    def restore_checkpoint(self, key: str) -> Any | None:
        """The state that was saved, else the arguments that were kept; `None` where there is neither."""
        kept = self.checkpoints.get(key) or self._arguments.get(key)
        return kept["state"] if kept else super().restore_checkpoint(key)

    def clear_checkpoints(self) -> None:
        """Removes all states, of the store, too."""
        self._arguments.clear()
        super().clear_checkpoints()

    def close(self) -> None:
        """Writes what waits to the state and the journal. The breaker is this process's own from now on."""
        if self.state is not None:
            self.state.close()
        self.policy.flush()

    def shutdown_gracefully(self) -> None:
        """Forgets answers and failures, and closes the breaker. What is kept in a state stays there."""
        if self.state is None:
            super().shutdown_gracefully()
            return
        self.degradation.clear_cache()
        self.classifier.clear_history()
        self._arguments.clear()
        self.close()
