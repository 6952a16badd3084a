"""Policies are swapped while threads and tasks fail and recover: no call is lost or doubled."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from upright import error_recovery as er
from upright._manager import RecoveryManager
from upright._native import PolicySlot

ROOT = Path(__file__).resolve().parents[3]
POLICIES = [ROOT / "host/runtime/policy.wasm", ROOT / "guest/examples/cautious/cautious.wasm"]
SWAPS = 20


class FailsOnce:
    """Fails at its first call, then returns its number."""

    def __init__(self, number: int) -> None:
        self.number, self.calls = number, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls == 1:
            raise ConnectionRefusedError(111, "Connection refused")
        return self.number

    async def awaited(self) -> int:
        """The same for a coroutine."""
        await asyncio.sleep(0)
        return self()


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> RecoveryManager:
    """A manager whose waits take no time, and whose breaker never opens."""
    monkeypatch.setattr("time.sleep", lambda delay: None)
    manager = RecoveryManager(policy=PolicySlot())
    manager.retry_strategy.circuit_breaker = None
    manager.retry_strategy.config.base_delay = 0.0
    return manager


def swap(slot: PolicySlot) -> None:
    for number in range(SWAPS):
        assert slot.swap(POLICIES[number % len(POLICIES)], probation=0.0) == "active"


def test_eight_threads_lose_and_double_no_call_while_policies_are_swapped(manager: RecoveryManager) -> None:
    ended, operations = threading.Event(), []

    def work(thread: int) -> None:
        number = 0
        while not ended.is_set() or number < 100:
            operation = FailsOnce(number)
            assert manager.execute_with_recovery(operation) == number
            operations.append(operation.calls)
            number += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    swap(manager.policy)
    ended.set()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert len(operations) >= 800 and set(operations) == {2}
    assert manager.policy.counts["swaps"] == SWAPS


def test_a_thousand_tasks_lose_and_double_no_call_while_policies_are_swapped(manager: RecoveryManager) -> None:
    async def main() -> list[int]:
        operations = [FailsOnce(number) for number in range(1_000)]
        retry = manager.retry_strategy
        swapping = asyncio.get_running_loop().run_in_executor(None, swap, manager.policy)
        results = await asyncio.gather(*(retry.execute_async(operation.awaited) for operation in operations))
        await swapping
        assert results == list(range(1_000))
        return [operation.calls for operation in operations]

    assert set(asyncio.run(main())) == {2}


def test_a_call_fails_and_recovers_while_a_policy_is_compiled(manager: RecoveryManager) -> None:
    component = POLICIES[0].read_bytes()
    swapping, seen = [False], [False]
    interval = sys.getswitchinterval()
    # A thread then runs only while another waits or gives the interpreter away, as compiling must.
    sys.setswitchinterval(1_000.0)
    try:
        for number in range(1, 51):
            begins = threading.Event()

            def work(begins: threading.Event = begins) -> None:
                begins.wait()
                assert manager.execute_with_recovery(FailsOnce(1)) == 1
                seen.append(swapping[0])

            thread = threading.Thread(target=work)
            thread.start()
            begins.set()
            swapping[0] = True
            # Known components are not compiled again: this one has a section of its own, which means nothing.
            manager.policy.swap(component + b"\0\x03\x01n" + bytes([number]), probation=0.0)
            swapping[0] = False
            thread.join()
            assert len(seen) == number + 1
            # The thread may have been too late for a short compilation.
            if seen[-1]:
                break
    finally:
        sys.setswitchinterval(interval)
    assert seen[-1]



def test_a_breaker_that_is_open_rejects_calls_through_all_swaps(manager: RecoveryManager) -> None:
    breaker = er.CircuitBreaker()
    manager.retry_strategy.circuit_breaker = breaker
    breaker.state = er.CircuitState.OPEN
    for policy in POLICIES:
        manager.policy.swap(policy)
        with pytest.raises(RuntimeError, match="Circuit breaker OPEN"):
            manager.execute_with_recovery(lambda: 1)
