"""Runs the tests with LangChain, LangGraph, and both versions of MCP.

    python host/python/tests/integrations/run.py [--wheel FILE]

Makes two virtual environments in the target folder, with this interpreter. Uses the package in the source folder (with
its native module built there), or a wheel. Skips an environment that cannot be installed. Under
`UPRIGHT_REQUIRE_HOSTS=python` that is a failure.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environments import REQUIRED, Unavailable, environment, with_package  # noqa: E402

HERE = Path(__file__).resolve().parent
# The tests of each environment. The adapters of LangChain need version 1 of MCP.
ENVIRONMENTS = {"langchain": ("",), "mcp": ("test_mcp.py",)}
MINUTES = 10


def passed(python: Path, tests: tuple[str, ...], wheel: Path | None) -> bool:
    """Runs tests in an environment. The tracing of LangChain is off."""
    settings = with_package(python, wheel) | {"LANGSMITH_TRACING": "false"}
    # The package's own settings of pytest are for a plugin that is not needed here.
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", HERE)
    command: list[str | Path] = [python, "-m", "pytest", *options, *(HERE / test for test in tests)]
    return subprocess.run(command, check=False, env=settings, timeout=60 * MINUTES).returncode == 0


def main() -> int:
    """Runs all environments. Returns 0 if everything that ran passed."""
    options = argparse.ArgumentParser(description="Runs the tests with LangChain, LangGraph and MCP.")
    options.add_argument("--wheel", type=Path, help="the package; without it, the source folder")
    wheel = options.parse_args().wheel
    outcomes: dict[str, bool] = {}
    for name, tests in ENVIRONMENTS.items():
        try:
            python = environment(f"integrations-{name}", sys.executable, HERE / f"{name}.txt")
        except Unavailable as missing:
            print(f"SKIPPED: the packages in {name}.txt cannot be installed here: {missing}", file=sys.stderr)
            outcomes[f"{name} (not installed)"] = not REQUIRED
            continue
        outcomes[name] = passed(python, tests, wheel)
    print("\n".join(f"{name}: {'passed' if good else 'FAILED'}" for name, good in outcomes.items() if "(" not in name))
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
