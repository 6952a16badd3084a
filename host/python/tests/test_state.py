"""Checkpoints, breakers, policies and journals outlive their process, and are shared with other programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from upright import error_recovery as er
from upright._manager import RecoveryManager
from upright._native import PolicySlot, State

ROOT = Path(__file__).resolve().parents[3]
COMPONENT = ROOT / "host/runtime/policy.wasm"


def refused() -> None:
    raise ConnectionRefusedError(111, "Connection refused")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits take no time."""
    monkeypatch.setattr("time.sleep", lambda delay: None)


def test_a_checkpoint_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from upright._manager import RecoveryManager\n"
        "manager = RecoveryManager(state=sys.argv[1])\n"
        "manager.save_checkpoint('import', {'row': 1000})\n"
        "print('saved', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "state.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        process.send_signal(signal.SIGKILL)
    manager = RecoveryManager(state=tmp_path / "state.db")
    assert manager.restore_checkpoint("import") == {"row": 1000}
    assert set(manager.checkpoints["import"]) == {"state", "timestamp"}
    assert (len(manager.checkpoints), list(manager.checkpoints)) == (1, ["import"])
    assert manager.checkpoints.pop("import", None) is not None
    assert manager.restore_checkpoint("import") is None


def test_a_state_that_json_cannot_hold_is_refused_when_it_is_saved_and_the_old_one_stays() -> None:
    manager = RecoveryManager(state=":memory:")
    manager.save_checkpoint("a", [1, 2])
    with pytest.raises(TypeError, match=r"checkpoint 'a' cannot be written.*expected a value that JSON can hold"):
        manager.save_checkpoint("a", {1, 2})
    assert manager.restore_checkpoint("a") == [1, 2]


def test_a_codec_writes_what_json_cannot_hold() -> None:
    class Sets:
        def dumps(self, value: Any) -> str:
            return json.dumps(sorted(value))

        def loads(self, text: str) -> Any:
            return set(json.loads(text))

    manager = RecoveryManager(state=":memory:", codec=Sets())
    manager.save_checkpoint("a", {2, 1})
    assert manager.restore_checkpoint("a") == {1, 2}


def test_arguments_that_cannot_be_written_are_kept_in_memory() -> None:
    manager, lock = RecoveryManager(state=":memory:"), threading.Lock()
    assert manager.execute_with_recovery(lambda value: value is lock, lock, checkpoint_key="call") is True
    assert manager.restore_checkpoint("call") == {"args": (lock,), "kwargs": {}}
    assert len(manager.checkpoints) == 0


@pytest.mark.usefixtures("at_once")
def test_an_open_breaker_is_open_in_the_next_process_and_in_the_command(tmp_path: Path) -> None:
    address = str(tmp_path / "state.db")
    manager = RecoveryManager(state=address, name="ollama")
    for _ in range(5):
        with pytest.raises((ConnectionRefusedError, RuntimeError)):
            manager.execute_with_recovery(refused)
    manager.close()
    program = (
        "import sys; from upright._manager import RecoveryManager\n"
        "manager = RecoveryManager(state=sys.argv[1], name='ollama')\n"
        "manager.state.settle(); print(manager.retry_strategy.circuit_breaker.state.value)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, address], capture_output=True, text=True, check=True)
    assert ran.stdout == "open\n"
    command = os.environ.get("UPRIGHT_COMMAND")
    if not command:
        pytest.skip("UPRIGHT_COMMAND does not name the command `upright`")
    ran = subprocess.run(
        [command, "exec", "--state", address, "--breaker", "ollama", "--", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 3, ran


@pytest.mark.usefixtures("at_once")
def test_the_decisions_of_a_run_are_in_its_journal_and_replay_alike(tmp_path: Path) -> None:
    journal = tmp_path / "decisions.jsonl"
    manager = RecoveryManager(journal=journal)
    with pytest.raises(ConnectionRefusedError):
        manager.execute_with_recovery(refused)
    manager.close()
    assert len(journal.read_text(encoding="utf-8").splitlines()) >= 4
    command = os.environ.get("UPRIGHT_COMMAND")
    if not command:
        pytest.skip("UPRIGHT_COMMAND does not name the command `upright`")
    ran = subprocess.run([command, "replay", str(journal)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "differ      0 " in ran.stdout, ran


@pytest.mark.usefixtures("at_once")
def test_a_policy_is_swapped_in_shadowed_and_rolled_back(tmp_path: Path) -> None:
    slot = PolicySlot()
    manager = RecoveryManager(policy=slot)
    assert (slot.digest, slot.counts["swaps"]) == (None, 0)
    assert slot.swap(COMPONENT) == "active"
    assert slot.digest is not None
    with pytest.raises(ConnectionRefusedError):
        manager.execute_with_recovery(refused)
    answered = slot.counts
    assert answered["decisions"] > answered["safe_mode"]
    assert slot.swap(COMPONENT.read_bytes(), shadow=1.0) == "shadow"
    manager.retry_strategy.circuit_breaker.reset()  # type: ignore[union-attr]
    with pytest.raises(ConnectionRefusedError):
        manager.execute_with_recovery(refused)
    report = slot.shadow_report()
    assert report is not None and report["decisions"] > 0 and report["disagreeing"] == 0
    assert slot.promote() is not None
    assert slot.roll_back().startswith("upright-default")
    assert [step["stage"] for step in slot.history][-1] == "rolled_back"
    with pytest.raises(ValueError, match="expected a WebAssembly component"):
        slot.swap(b"no component")
    assert slot.history[-1]["refused"]


def test_an_open_breaker_stays_open_through_a_swap() -> None:
    slot = PolicySlot()
    manager = RecoveryManager(policy=slot)
    breaker = manager.retry_strategy.circuit_breaker
    assert breaker is not None
    breaker.state = er.CircuitState.OPEN
    slot.swap(COMPONENT)
    assert breaker.state is er.CircuitState.OPEN
    with pytest.raises(RuntimeError, match="Circuit breaker OPEN"):
        manager.execute_with_recovery(lambda: 1)


def test_a_changed_file_is_swapped_in_while_it_is_watched(tmp_path: Path) -> None:
    path, slot = tmp_path / "mine.wasm", PolicySlot()
    slot.watch_file(path)
    path.write_bytes(COMPONENT.read_bytes())
    # The watch's own thread swaps, and needs none of the interpreter's.
    while not slot.counts["swaps"]:
        pass
    slot.unwatch()
    assert slot.digest is not None


def test_a_manager_refuses_a_policy_and_a_journal_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of them"):
        RecoveryManager(policy=PolicySlot(), journal=tmp_path / "x")


def test_an_address_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="expected a file"):
        State("ftp://x")


@pytest.mark.parametrize("key", ["", "k" * 513])
def test_a_key_that_is_none_is_refused_with_its_length(key: str) -> None:
    with pytest.raises(ValueError, match=f"found {len(key)} bytes, expected 1 to 512"):
        RecoveryManager(state=":memory:").save_checkpoint(key, 1)
