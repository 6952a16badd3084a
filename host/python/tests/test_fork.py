"""Children that are forked with everything open work, and harm nothing of their parent's."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from upright import error_recovery as er
from upright._manager import RecoveryManager
from upright._native import PolicySlot

COMPONENT = Path(__file__).resolve().parents[3] / "host/runtime/policy.wasm"
CALLS = 1_000
LIMIT = 60.0


def refused() -> None:
    raise ConnectionRefusedError(111, "Connection refused")


def work(manager: RecoveryManager, results: Any) -> None:
    """Makes calls that fail, and reports how many failed as they should."""
    time.sleep = lambda delay: None
    failed = 0
    for _ in range(CALLS):
        try:
            manager.execute_with_recovery(refused)
        except (ConnectionRefusedError, RuntimeError):
            failed += 1
    breaker = manager.retry_strategy.circuit_breaker
    assert breaker is not None
    breaker.reset()
    answered = manager.execute_with_recovery(lambda: 7)
    try:
        manager.save_checkpoint("child", 1)
        state = "written"
    except RuntimeError as error:
        state = str(error)
    decided = manager.policy.counts
    manager.close()
    results.put((failed, answered, state, decided["decisions"] - decided["safe_mode"]))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_four_forked_children_make_a_thousand_calls_each_and_the_parents_file_is_whole(tmp_path: Path) -> None:
    slot = PolicySlot(journal=tmp_path / "decisions.jsonl")
    manager = RecoveryManager(state=tmp_path / "state.db", policy=slot)
    assert slot.swap(COMPONENT) == "active"
    manager.save_checkpoint("parent", {"row": 1})
    breaker = manager.retry_strategy.circuit_breaker
    assert breaker is not None
    breaker.state = er.CircuitState.OPEN
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=work, args=(manager, results)) for _ in range(4)]
    for child in children:
        child.start()
    reports = [results.get(timeout=LIMIT) for _ in children]
    for child in children:
        child.join(timeout=LIMIT)
        assert child.exitcode == 0
    for failed, answered, state, by_component in reports:
        assert (failed, answered) == (CALLS, 7)
        assert "open it after the fork" in state
        assert by_component > 0
    assert manager.restore_checkpoint("parent") == {"row": 1}
    manager.save_checkpoint("parent", {"row": 2})
    manager.close()
    # Each line is whole, and only of the parent, which made no call.
    lines = (tmp_path / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
    assert 0 < len([json.loads(line) for line in lines]) < CALLS
    assert RecoveryManager(state=tmp_path / "state.db").restore_checkpoint("parent") == {"row": 2}
