#!/usr/bin/env python3
"""Measures what the Python package costs beside its peers, and prints one table of ratios.

Cases are interleaved in rounds, since a machine's speed drifts. A ratio is the median of the rounds' ratios, each of the
times over the bare call. Run it with the Python of an environment that has the release wheel and `requirements.txt`.
`--reference PATH` names the specification's own `utils/error_recovery.py`, for the ratios to it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from secrets import token_bytes
from types import ModuleType
from typing import Any

import backoff
import pybreaker
import requests
import stamina
import tenacity

import upright
from upright import error_recovery as er

ROUNDS = 25
PEERS = ("tenacity", "stamina", "backoff", "pybreaker")
NOTHING = ConnectionRefusedError(111, "Connection refused")
POLICY = Path(__file__).resolve().parents[2] / "host/runtime/policy.wasm"
THREADS, TASKS, SWAPS = 8, 1_000, 10
sleep = time.sleep
"""Of the interpreter: the measured waits take no time."""


def op(x: int) -> int:
    """The bare operation."""
    return x


async def aop(x: int) -> int:
    """The bare operation that is awaited."""
    return x


def fails_once() -> Callable[[int], int]:
    """A function that fails at every other call. Some peers take nothing but functions."""
    calls = 0

    def fails(x: int) -> int:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise ConnectionRefusedError(111, "Connection refused")
        return x

    return fails


def fails_if_asked(failures: list[int]) -> int:
    """Fails as often as the list is long."""
    if failures:
        failures.pop()
        raise ConnectionRefusedError(111, "Connection refused")
    return 1


def chained() -> Exception:
    """A failure that a client of HTTP raises: the first of a chain of four."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    try:
        requests.get(url, timeout=5)
    except requests.ConnectionError as error:
        return error
    raise AssertionError(f"{url} answers")


def closure(func: Callable[[int], int]) -> Callable[..., int]:
    """The cheapest wrapper in Python that could recover."""

    def wrapper(*args: Any, **kwargs: Any) -> int:
        try:
            return func(*args, **kwargs)
        except Exception:
            raise

    return wrapper


def async_closure(func: Callable[[int], Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    """The cheapest asynchronous wrapper in Python that could recover."""

    async def wrapper(*args: Any, **kwargs: Any) -> int:
        try:
            return await func(*args, **kwargs)
        except Exception:
            raise

    return wrapper


def loaded(path: str) -> ModuleType:
    """The module at a path."""
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


def times(call: Callable[[], Any], seconds: float = 0.004) -> Callable[[], float]:
    """A round of calls: nanoseconds a call."""
    # The first calls import and build what later ones find.
    for _ in range(10):
        call()
    number = 1
    while True:
        began = time.perf_counter()
        for _ in range(number):
            call()
        if time.perf_counter() - began > seconds / 2:
            break
        number *= 2

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(number):
            call()
        return (time.perf_counter() - began) * 1e9 / number

    return measure


def async_times(call: Callable[[int], Awaitable[Any]], loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """A round of awaited calls: nanoseconds a call."""

    async def many(number: int) -> None:
        for _ in range(number):
            await call(1)

    _awaited(loop, many)
    return lambda: _awaited(loop, many)


def _awaited(loop: asyncio.AbstractEventLoop, many: Callable[[int], Awaitable[None]], number: int = 2_000) -> float:
    began = time.perf_counter()
    loop.run_until_complete(many(number))  # type: ignore[arg-type]
    return (time.perf_counter() - began) * 1e9 / number


def thread_times(call: Callable[[], Any], threads: int, number: int = 100_000) -> Callable[[], float]:
    """A round of calls that threads share: nanoseconds a call."""

    def work() -> None:
        for _ in range(number // threads):
            call()

    def measure() -> float:
        workers = [threading.Thread(target=work) for _ in range(threads)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return (time.perf_counter() - began) * 1e9 / number

    return measure


def decorates() -> float:
    """Milliseconds that the guard of a coroutine function takes, whose signature is the first of its shape."""
    space: dict[str, Any] = {}
    taken: list[float] = []
    for number in range(100):
        exec(f"async def ask(one{number}, two, *, three=3): ...", space)
        began = time.perf_counter()
        upright.guard(space["ask"])
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


class Watched:
    """Calls that fail once, and the longest of them: milliseconds."""

    def __init__(self, slot: upright.PolicySlot) -> None:
        self.guarded = upright.guard(policy=slot, base_delay=0.0, jitter=False)(fails_if_asked)
        self.longest = 0.0
        self.ended = False

    def call(self) -> None:
        """One call."""
        began = time.perf_counter()
        self.guarded([1])
        self.longest = max(self.longest, (time.perf_counter() - began) * 1e3)

    def thread(self) -> None:
        """Calls with pauses, so that no thread waits for the interpreter's lock of others."""
        while not self.ended:
            self.call()
            sleep(0.005)

    async def task(self) -> None:
        """Calls with pauses."""
        while not self.ended:
            self.call()
            await asyncio.sleep(0.5)


def stalls(swap: bool) -> tuple[float, float]:
    """The longest call of the threads and of the tasks, milliseconds, while policies are swapped or nothing is."""

    def work() -> None:
        for _ in range(SWAPS):
            if swap:
                slot.swap(policies.pop(), probation=0.0)
            else:
                sleep(0.2)

    # What was compiled once is not compiled again: each has a section of its own, which means nothing.
    policies = [POLICY.read_bytes() + b"\0\x0a\x01n" + token_bytes(8) for _ in range(2 * SWAPS)]
    slot = upright.PolicySlot()
    slot.swap(POLICY)
    one = Watched(slot)
    one.call()
    one.longest = 0.0
    threads = [threading.Thread(target=one.thread) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    work()
    one.ended = True
    for thread in threads:
        thread.join()

    many = Watched(slot)

    async def main() -> None:
        tasks = [asyncio.ensure_future(many.task()) for _ in range(TASKS)]
        await asyncio.sleep(0)
        many.longest = 0.0
        await asyncio.get_running_loop().run_in_executor(None, work)
        many.ended = True
        await asyncio.gather(*tasks)

    asyncio.run(main())
    return one.longest, many.longest


def rounds(cases: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Times of the cases, interleaved."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, measure in cases.items():
            found[name].append(measure())
    return found


def over(found: dict[str, list[float]], case: str, peer: str, bare: str | None) -> float:
    """The median ratio of a case's time to a peer's, each over the bare call."""
    zero = found[bare] if bare else [0.0] * ROUNDS
    return statistics.median((a - z) / max(b - z, 1.0) for a, b, z in zip(found[case], found[peer], zero))


def imports(module: str) -> float:
    """Milliseconds that importing a module takes, the interpreter's own start apart."""
    code = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
    taken = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(9)]
    return statistics.median(taken) * 1e3


def main() -> None:
    """Measures and prints."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--reference", help="path of the specification's utils/error_recovery.py")
    given = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    time.sleep = lambda delay: None  # type: ignore[assignment]
    loop = asyncio.new_event_loop()
    reference = loaded(given.reference) if given.reference else None

    guarded = upright.guard(op)
    breaker = er.CircuitBreaker()
    peer_breaker = pybreaker.CircuitBreaker()
    retry = er.RetryStrategy()
    manager = er.RecoveryManager()
    retried = {"wait": tenacity.wait_none(), "stop": tenacity.stop_after_attempt(4)}
    with_tenacity = tenacity.retry(**retried)
    with_stamina = stamina.retry(on=ConnectionError, attempts=4, wait_initial=0, wait_jitter=0)
    with_backoff = backoff.on_exception(backoff.constant, ConnectionError, max_tries=4, interval=0, jitter=None)

    def block() -> None:
        for attempt in upright.attempts():
            with attempt:
                op(1)

    shared = tenacity.Retrying(**retried)

    def tenacity_block() -> None:
        for attempt in shared:
            with attempt:
                op(1)

    bare, guarded_op, plain = (lambda: op(1)), (lambda: guarded(1)), closure(op)
    tenacity_op, stamina_op, backoff_op = with_tenacity(op), with_stamina(op), with_backoff(op)
    cases: dict[str, Callable[[], float]] = {
        "bare": times(bare),
        "closure": times(lambda: plain(1)),
        "guard": times(guarded_op),
        "tenacity": times(lambda: tenacity_op(1)),
        "stamina": times(lambda: stamina_op(1)),
        "backoff": times(lambda: backoff_op(1)),
        "pybreaker": times(lambda: peer_breaker.call(op, 1)),
        "execute": times(lambda: retry.execute(op, 1)),
        "breaker": times(lambda: breaker.call(op, 1)),
        "manager": times(lambda: manager.execute_with_recovery(op, 1)),
        "block": times(block),
        "tenacity block": times(tenacity_block),
    }
    failing = upright.guard(max_retries=3, base_delay=0.0, jitter=False)(fails_once())
    cases |= {
        "fails once: guard": times(lambda: failing(1)),
        "fails once: backoff": times(lambda f=with_backoff(fails_once()): f(1)),
        "fails once: tenacity": times(lambda f=with_tenacity(fails_once()): f(1)),
    }
    opened = er.CircuitBreaker()
    opened.state = er.CircuitState.OPEN
    peer_opened = pybreaker.CircuitBreaker()
    peer_opened.open()

    def rejected(breaker: Any, error: type[Exception]) -> Callable[[], None]:
        def call() -> None:
            try:
                breaker.call(op, 1)
            except error:
                pass

        return call

    def raised() -> None:
        try:
            raise RuntimeError("x")
        except RuntimeError:
            pass

    cases |= {
        "rejected": times(rejected(opened, RuntimeError)),
        "rejected: pybreaker": times(rejected(peer_opened, pybreaker.CircuitBreakerError)),
        "raise": times(raised),
    }
    classifier = er.ErrorClassifier()
    of_four = chained()
    cases["classify"] = times(lambda: classifier.classify(NOTHING))
    cases["classify a chain"] = times(lambda: classifier.classify(of_four))
    if reference is not None:
        old_retry, old_breaker, old_manager = reference.RetryStrategy(), reference.CircuitBreaker(), reference.RecoveryManager()
        old_classifier = reference.ErrorClassifier()
        old_opened = reference.CircuitBreaker()
        old_opened.state, old_opened.last_failure_time = reference.CircuitState.OPEN, time.time()
        cases |= {
            "execute: reference": times(lambda: old_retry.execute(op, 1)),
            "breaker: reference": times(lambda: old_breaker.call(op, 1)),
            "manager: reference": times(lambda: old_manager.execute_with_recovery(op, 1)),
            "classify: reference": times(lambda: old_classifier.classify(NOTHING)),
            "classify a chain: reference": times(lambda: old_classifier.classify(of_four)),
            "rejected: reference": times(rejected(old_opened, RuntimeError)),
        }
    slot = upright.PolicySlot()
    slot.swap(POLICY)
    swapped = upright.guard(max_retries=3, base_delay=0.0, jitter=False, policy=slot)(fails_once())
    cases["fails once: guard, WebAssembly"] = times(lambda: swapped(1))
    busy = {threads: thread_times(lambda: breaker.call(op, 1), threads) for threads in (1, 2)}
    cases |= {"breaker: one thread": busy[1], "breaker: two threads": busy[2]}
    acases = {
        "bare": async_times(aop, loop),
        "closure": async_times(async_closure(aop), loop),
        "guard": async_times(upright.guard(aop), loop),
        "tenacity": async_times(tenacity.retry(**retried)(aop), loop),
    }
    found, awaited = rounds(cases), rounds(acases)
    quiet, during = stalls(swap=False), stalls(swap=True)

    tracemalloc.start()
    for _ in range(1_000):
        guarded(1)
    before = tracemalloc.take_snapshot()
    for _ in range(100_000):
        guarded(1)
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    kept = sum(difference.size_diff for difference in after.compare_to(before, "filename") if "upright" in str(difference.traceback))

    rows: list[tuple[str, str, float, float]] = [
        ("P1", "guard / closure", over(found, "guard", "closure", "bare"), 1.0),
        ("P1", "guard / tenacity", over(found, "guard", "tenacity", "bare"), 0.01),
        ("P2", "async guard / async closure", over(awaited, "guard", "closure", "bare"), 1.1),
        ("P2", "async guard / tenacity", over(awaited, "guard", "tenacity", "bare"), 0.01),
        ("P5", "attempts / tenacity's shared", over(found, "block", "tenacity block", "bare"), 0.1),
        ("P6", "fails once: guard / backoff", over(found, "fails once: guard", "fails once: backoff", "bare"), 1.0),
        ("P6", "fails once: guard / tenacity", over(found, "fails once: guard", "fails once: tenacity", "bare"), 1 / 3),
        ("P7", "fails once: WebAssembly / native", over(found, "fails once: guard, WebAssembly", "fails once: guard", "bare"), 1.5),
        ("P8", "rejected / raise and except", over(found, "rejected", "raise", None), 2.5),
        ("P10", "breaker: two threads / one", over(found, "breaker: two threads", "breaker: one thread", None), 1.1),
        ("P11", "bytes kept by 100,000 calls", float(kept), 0.0),
        ("P12", "import upright / import tenacity", imports("upright") / imports("tenacity"), 1.0),
    ]
    rows += [
        ("P13", "milliseconds to guard a coroutine function", decorates(), 0.5),
        ("R8", f"longest call of {THREADS} threads while policies are swapped, ms", during[0], 5.0),
        ("R8", f"longest call of {TASKS:,} tasks while policies are swapped, ms", during[1], 5.0),
    ]
    if reference is not None:
        rows += [
            ("P3", "execute / reference", over(found, "execute", "execute: reference", "bare"), 0.25),
            ("P3", "breaker / reference", over(found, "breaker", "breaker: reference", "bare"), 0.5),
            ("P4", "execute_with_recovery / reference", over(found, "manager", "manager: reference", "bare"), 0.25),
            ("P8", "rejected / reference", over(found, "rejected", "rejected: reference", None), 0.5),
            ("P9", "classify a chain of four / reference", over(found, "classify a chain", "classify a chain: reference", None), 0.5),
            ("P9", "classify one exception / reference", over(found, "classify", "classify: reference", None), 0.5),
        ]
    peers = "; ".join(f"{peer} {version(peer)}" for peer in PEERS)
    print(f"{platform.python_implementation()} {platform.python_version()}; upright {version('upright')}; {peers}")
    print(f"{ROUNDS} rounds, interleaved; medians of the rounds' ratios\n")
    print("| | ratio, each over the bare call | found | at most | |\n|---|---|--:|--:|---|")
    for name, label, ratio, most in sorted(rows, key=lambda row: (row[0][0], int(row[0][1:]))):
        print(f"| {name} | {label} | {ratio:.3f} | {most:.3f} | {'met' if ratio <= most else 'MISSED'} |")
    print("\n| case | ns, median | ns, least |\n|---|--:|--:|")
    print(f"| longest call without a swap, {THREADS} threads | {quiet[0] * 1e6:,.0f} | |")
    print(f"| longest call without a swap, {TASKS:,} tasks | {quiet[1] * 1e6:,.0f} | |")
    for prefix, group in (("", found), ("async ", awaited)):
        for name, taken in group.items():
            print(f"| {prefix}{name} | {statistics.median(taken):,.0f} | {min(taken):,.0f} |")


if __name__ == "__main__":
    main()
