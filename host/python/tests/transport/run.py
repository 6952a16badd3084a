#!/usr/bin/env python3
"""Tests the transport below real HTTP clients with each Python from 3.10 to 3.13, and below clients of models with one.

    python host/python/tests/transport/run.py [--wheel FILE] [--python VERSION] [-- arguments for pytest]

Makes virtual environments in the target folder. Uses the package in the source folder (with its native module built
there), or a wheel. Skips, loudly, what cannot be installed. With `python` in `UPRIGHT_REQUIRE_HOSTS` that is a failure.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environments import REQUIRED, ROOT, VERSIONS, Unavailable, environment, interpreter, with_package  # noqa: E402

HERE = Path(__file__).resolve().parent
# The requirements of the gateway's clients are a part of those of ours.
SHARED = ROOT / "tests" / "clients" / "requirements.txt"
CLIENTS = ("3.11", "3.12", "3.13")
"""Versions that the pinned clients support, in the order of choice."""

def tested(python: Path, wheel: Path | None, tests: tuple[str, ...], arguments: list[str]) -> bool:
    """Runs files of tests."""
    settings = with_package(python, wheel)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(HERE / test for test in tests), *arguments]
    print("$", *command, flush=True)
    return subprocess.run(command, env=settings, check=False).returncode == 0


def main() -> int:
    """Tests all parts that can be installed. 0 if each one passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--python", action="append", choices=VERSIONS, help="only this version; may be repeated")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    given = parser.parse_args()
    failed = []
    versions = given.python or VERSIONS
    parts = [(version, "http.txt", (), ("test_http.py", "test_repeats.py")) for version in versions]
    parts += [
        (version, "requirements.txt", ("--no-deps",), ("test_clients.py",)) for version in CLIENTS if version in versions
    ][:1]
    for version, requirements, options, tests in parts:
        try:
            name = f"transport-{Path(requirements).stem}-{version}"
            python = environment(name, interpreter(version), HERE / requirements, *options, also=(SHARED,))
        except Unavailable as unavailable:
            print(f"\nWARNING: {', '.join(tests)}: NOT run with Python {version}: {unavailable}\n", file=sys.stderr)
            if REQUIRED:
                failed.append(f"{tests[-1]} with Python {version}")
            continue
        # The table of all cells is shown.
        shown = ["-s"] if "test_clients.py" in tests else []
        if not tested(python, given.wheel, tests, [*shown, *given.pytest]):
            failed.append(f"{tests[-1]} with Python {version}")
    if failed:
        print("FAILED:", ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
