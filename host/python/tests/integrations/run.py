"""Runs the tests with LangChain, LangGraph, and both versions of MCP.

    python host/python/tests/integrations/run.py [--wheel FILE]

Makes two virtual environments in the target folder, with this interpreter. Uses the package in the source folder (with
its native module built there), or a wheel. Skips an environment that cannot be installed. Under
`UPRIGHT_REQUIRE_HOSTS=python` that is a failure.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "python"
TARGET = HERE.parents[3] / "target" / "python-integrations"
# The tests of each environment. The adapters of LangChain need version 1 of MCP.
ENVIRONMENTS = {"langchain": ("",), "mcp": ("test_mcp.py",)}
MINUTES = 10
SHOWN = 200  # characters of a line of pip's


class Unavailable(Exception):
    """An environment that cannot be made here."""


def pip(python: Path, *arguments: str | Path) -> None:
    """Installs packages. Raises `Unavailable` where that fails."""
    command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60 * MINUTES)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        raise Unavailable("\n".join(line[:SHOWN] for line in done.stderr.splitlines()[-5:]))


def interpreter(name: str) -> Path:
    """The interpreter of an environment, which is made or kept if its requirements are the same."""
    requirements = HERE / f"{name}.txt"
    state = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = TARGET / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "requirements.sha256"
    if stamp.exists() and stamp.read_text() == state:
        return python
    try:
        venv.create(folder, clear=True, with_pip=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(str(error)) from error
    pip(python, "-r", requirements)
    stamp.write_text(state)
    return python


def passed(python: Path, tests: tuple[str, ...], wheel: Path | None) -> bool:
    """Runs tests in an environment. Proxies and the tracing of LangChain are off."""
    paths = [os.environ.get("PYTHONPATH", "")]
    if wheel is None:
        paths.append(str(SOURCE))
    else:
        try:
            pip(python, "--no-deps", "--no-index", "--force-reinstall", wheel)
        except Unavailable as error:
            raise SystemExit(f"FAILED: {wheel} cannot be installed:\n{error}") from error
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "LANGSMITH_TRACING": "false"}
    files = [HERE / test for test in tests]
    # The package's own settings of pytest are for a plugin that is not needed here.
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", HERE)
    command: list[str | Path] = [python, "-m", "pytest", *options, *files]
    return subprocess.run(command, check=False, env=environment, timeout=60 * MINUTES).returncode == 0


def main() -> int:
    """Runs all environments. Returns 0 if everything that ran passed."""
    options = argparse.ArgumentParser(description="Runs the tests with LangChain, LangGraph and MCP.")
    options.add_argument("--wheel", type=Path, help="the package; without it, the source folder")
    wheel = options.parse_args().wheel
    required = "python" in os.environ.get("UPRIGHT_REQUIRE_HOSTS", "").split()
    outcomes: dict[str, bool] = {}
    for name, tests in ENVIRONMENTS.items():
        try:
            python = interpreter(name)
        except Unavailable as missing:
            print(f"SKIPPED: the packages in {name}.txt cannot be installed here: {missing}", file=sys.stderr)
            outcomes[f"{name} (not installed)"] = not required
            continue
        outcomes[name] = passed(python, tests, wheel)
    print("\n".join(f"{name}: {'passed' if good else 'FAILED'}" for name, good in outcomes.items() if "(" not in name))
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
