#!/usr/bin/env python3
"""Tests the transport below real HTTP clients with each Python from 3.10 to 3.13, and below clients of models with one.

    python host/python/tests/transport/run.py [--wheel FILE] [--python VERSION] [-- arguments for pytest]

Makes virtual environments in the target folder. Uses the package in the source folder (with its native module built
there), or a wheel. Skips, loudly, what cannot be installed. With `python` in `UPRIGHT_REQUIRE_HOSTS` that is a failure.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
SOURCE = HERE.parents[1] / "python"
WORK = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "python-transport"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
CLIENTS = ("3.11", "3.12", "3.13")
"""Versions that the pinned clients support, in the order of choice."""

REQUIRED = "python" in os.environ.get("UPRIGHT_REQUIRE_HOSTS", "").split()


class Unavailable(Exception):
    """A part that cannot be tested here."""


def interpreter(version: str) -> str:
    """A Python of this version: in the path, or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        candidates.insert(0, sys.executable)
    for candidate in filter(None, candidates):
        # A shim of pyenv may stand for a version that is not installed.
        if (
            subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
            == 0
        ):
            return candidate
    raise Unavailable(f"no Python {version} is found")


def environment(version: str, requirements: Path, *options: str) -> Path:
    """Python of an environment, which is made anew if its requirements have changed."""
    python = interpreter(version)
    # The requirements of the gateway's clients are a part of those of ours.
    shared = ROOT / "tests" / "clients" / "requirements.txt"
    state = hashlib.sha256(requirements.read_bytes() + shared.read_bytes()).hexdigest()
    folder = WORK / f"{requirements.stem}-{version}"
    stamp, found = folder / "requirements.sha256", folder / "bin" / "python"
    if stamp.exists() and stamp.read_text() == state:
        return found
    install = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options]
    for command in ([python, "-m", "venv", "--clear", str(folder)], [*install, "--requirement", str(requirements)]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise Unavailable("\n".join(ran.stderr.splitlines()[-5:]))
    stamp.write_text(state)
    return found


def tested(python: Path, wheel: Path | None, test: str, arguments: list[str]) -> bool:
    """Runs one file of tests."""
    settings = dict(os.environ)
    if wheel is None:
        settings["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(SOURCE))))
    else:
        install = ["install", "--quiet", "--no-index", "--no-deps", "--force-reinstall", str(wheel)]
        subprocess.run([python, "-m", "pip", *install], check=True)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / test, *arguments]
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
    parts = [(version, "http.txt", (), "test_http.py") for version in versions]
    parts += [
        (version, "requirements.txt", ("--no-deps",), "test_clients.py") for version in CLIENTS if version in versions
    ][:1]
    for version, requirements, options, test in parts:
        try:
            python = environment(version, HERE / requirements, *options)
        except Unavailable as unavailable:
            print(f"\nWARNING: {test} is NOT run with Python {version}: {unavailable}\n", file=sys.stderr)
            if REQUIRED:
                failed.append(f"{test} with Python {version}")
            continue
        # The table of all cells is shown.
        shown = ["-s"] if test == "test_clients.py" else []
        if not tested(python, given.wheel, test, [*shown, *given.pytest]):
            failed.append(f"{test} with Python {version}")
    if failed:
        print("FAILED:", ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
