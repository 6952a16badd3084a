"""Type checkers see the types of guarded functions, refuse wrong calls, and find nothing in the package.

`run.py` has the checkers. `UPRIGHT_RECORD_TYPES=1` records what they say of the cases.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

import upright

HERE = pathlib.Path(__file__).parent
CASES = HERE / "cases.py"
PACKAGE = pathlib.Path(upright.__file__).parent
TOOLS = pathlib.Path(sys.executable).parent


def tool(name: str) -> str:
    return str(TOOLS / name)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MYPYPATH": str(PACKAGE.parent), "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=PACKAGE.parent)


def labels() -> dict[int, str]:
    """The text of the comment on each line of the cases."""
    lines = CASES.read_text().splitlines()
    return {number: line.rpartition("  # ")[2] for number, line in enumerate(lines, 1) if "  # " in line}


def compare(checker: str, said: dict[int, str]) -> None:
    """Compares what a checker said of each line with what is recorded."""
    text = "".join(f"{label}: {said.get(number, 'nothing')}\n" for number, label in labels().items())
    recorded = HERE / f"{checker}.txt"
    if os.environ.get("UPRIGHT_RECORD_TYPES"):
        recorded.write_text(text)
    assert text == recorded.read_text()
    assert set(said) <= set(labels()), {number: what for number, what in said.items() if number not in labels()}
    # The two that every coroutine has say nothing about its result.
    plain = re.sub(r"Coroutine(Type)?\[Any, Any", "", text)
    assert not re.search(r"revealed.*\b(Any|Unknown)\b", plain)


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command, with a cache that the tests share."""
    cache = str(tmp_path_factory.mktemp("mypy"))
    return (tool("mypy"), "--strict", "--no-pretty", "--python-version", "3.10", "--cache-dir", cache)


def test_mypy_sees_the_types_of_guarded_functions(mypy: tuple[str, ...]) -> None:
    done = run(*mypy, "--no-error-summary", str(CASES))
    said: dict[int, str] = {}
    for line in done.stdout.splitlines():
        match = re.match(r'.*cases\.py:(\d+): (note|error): (?:Revealed type is "(.*)"|.*\[([a-z-]+)\])$', line)
        if match:
            number, _, revealed, code = match.groups()
            said[int(number)] = f"revealed {revealed}" if revealed else f"error {code}"
    compare("mypy", said)


def pyright(folder: pathlib.Path, **settings: str) -> list[Any]:
    """The answers of pyright about the files in a folder."""
    config = {"typeCheckingMode": "strict", "extraPaths": [str(PACKAGE.parent)], **settings}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    done = run(tool("pyright"), "--outputjson", "--pythonpath", sys.executable, "-p", str(folder))
    answer = json.loads(done.stdout)
    assert answer["summary"]["filesAnalyzed"] > 0
    found: list[Any] = answer["generalDiagnostics"]
    return found


def test_pyright_sees_the_types_of_guarded_functions(tmp_path: pathlib.Path) -> None:
    shutil.copy(CASES, tmp_path)
    said: dict[int, str] = {}
    for answer in pyright(tmp_path):
        match = re.fullmatch(r'Type of ".*" is "(.*)"', answer["message"], re.DOTALL)
        line = answer["range"]["start"]["line"] + 1
        said[line] = f"revealed {match[1]}" if match else f"error {answer.get('rule')}"
    compare("pyright", said)


def test_mypy_finds_nothing_in_the_package(mypy: tuple[str, ...]) -> None:
    done = run(*mypy, "-p", "upright")
    assert done.returncode == 0, done.stdout


def test_the_description_of_the_native_module_fits_it() -> None:
    done = run(tool("stubtest"), "--allowlist", str(HERE / "stubtest.txt"), "upright")
    assert done.returncode == 0, done.stdout


def test_pyright_finds_nothing_in_the_package(tmp_path: pathlib.Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "upright", ignore=shutil.ignore_patterns("__pycache__"))
    # Modules of one package share what others must not touch.
    found = pyright(tmp_path, reportPrivateUsage="none", pythonVersion="3.10")
    assert [f"{answer['file']}: {answer['message']}" for answer in found] == []
