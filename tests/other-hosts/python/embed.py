"""The policy in a Python program: `python embed.py policy.wasm` asks how long to wait before the third retry."""

import sys

from wasmtime import Engine, Store
from wasmtime.component import Component, Linker, Record


class Policy:
    """A policy's component, loaded. Not for two threads at once."""

    def __init__(self, path):
        engine = Engine()
        self._store = Store(engine)
        self._store.set_limits(memory_size=16 * 1024 * 1024)
        # A linker with nothing in it: a component that imports anything is refused here.
        self._instance = Linker(engine).instantiate(self._store, Component.from_file(engine, path))

    def ask(self, function, *arguments):
        """Answers `interface.function`, as it is named in `wit/`."""
        return self.function(function)(self._store, *arguments)

    def function(self, function):
        interface, name = function.split(".")
        exports = self._instance.get_export_index(self._store, f"upright:policy/{interface}@0.2.0")
        return self._instance.get_func(self._store, self._instance.get_export_index(self._store, name, exports))

    def signature(self, function):
        """The types of its parameters and of its result."""
        return self.function(function).type(self._store)


def record(**fields):
    """A record of the contract, whose fields have hyphens where Python's names have underscores."""
    value = Record()
    for name, field in fields.items():
        setattr(value, name.replace("_", "-"), field)
    return value


if __name__ == "__main__":
    policy = Policy(sys.argv[1])
    retry = record(
        max_retries=3, base_delay=1.0, max_delay=60.0, backoff_factor=2.0,
        jitter=False, jitter_range=record(low=0.8, high=1.2), jitter_may_exceed_max=False,
    )
    print(getattr(policy.ask("metadata.describe"), "name"), "waits", policy.ask("backoff.delay", retry, 2, 0.5), "s")
