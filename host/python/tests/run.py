#!/usr/bin/env python3
"""Builds the package's wheel and tests it in a clean environment of each interpreter from 3.10 to 3.13.

An interpreter that is not found is named loudly. With `python` in `UPRIGHT_REQUIRE_HOSTS`, Python packages that cannot
be installed are a failure. `--release` builds what users get; the default is the profile of the Rust tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from environments import HERE, REQUIRED, TARGET, VERSIONS, Unavailable, environment, interpreter, with_package

PACKAGE = HERE.parent
CARGO = {**os.environ, "CARGO_TARGET_DIR": str(TARGET.parent)}


def run(*command: str | os.PathLike[str], **settings: object) -> None:
    """Runs a command, prints what it printed, and ends the program where it fails."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings)  # type: ignore[call-overload]
    # At once: several commands may run.
    print(f"$ {' '.join(map(str, command))}\n{done.stdout}", end="", flush=True)
    if done.returncode:
        sys.exit(f"FAILED: {' '.join(map(str, command))}")


def maturin() -> Path:
    """The program that makes wheels and source distributions."""
    return environment("tools", sys.executable, HERE / "tools.txt").parent / "maturin"


def wheel(release: bool) -> Path:
    """The package's wheel, built anew."""
    out = TARGET / "wheels"
    shutil.rmtree(out, ignore_errors=True)
    profile = ["--release", "--strip"] if release else ["--profile", "dev"]
    options = ["--locked", "--quiet", *profile, "--interpreter", sys.executable, "--out", out]
    run(maturin(), "build", *options, cwd=PACKAGE, env=CARGO)
    built = list(out.glob("upright-*.whl"))
    assert len(built) == 1, built
    print(f"{built[0].name}: {built[0].stat().st_size / 1e6:.1f} MB")
    return built[0]


def sdist() -> Path:
    """The package's source distribution."""
    out = TARGET / "sdist"
    shutil.rmtree(out, ignore_errors=True)
    command = [maturin(), "sdist", "--out", out]
    # It prints a warning for each crate, which is of interest only where it fails.
    if (done := subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False)).returncode:
        sys.exit(f"FAILED: maturin sdist: {done.stderr}")
    return next(out.glob("upright-*.tar.gz"))


def from_source(source: Path) -> None:
    """Installs what pip builds from these sources into a new environment, and runs README's program there."""
    shutil.rmtree(TARGET / "source", ignore_errors=True)
    clean = environment("source", sys.executable, HERE / "requirements.txt")
    # Users get a release build; this one shares what the tests have compiled.
    settings = {**CARGO, "MATURIN_PEP517_ARGS": "--profile dev"}
    run(clean, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source, env=settings)
    run(clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "test_readme.py")


def main() -> None:
    """Builds, installs and tests."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--release", action="store_true")
    arguments.add_argument("--python", action="append", choices=VERSIONS, help="only this version; may be repeated")
    arguments.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    given = arguments.parse_args()
    built, found = wheel(given.release), {}
    for version in given.python or VERSIONS:
        try:
            python = interpreter(version)
        except Unavailable as missing:
            print(f"\nWARNING: {missing}: the package is NOT tested with it\n", file=sys.stderr)
            continue
        found[version] = environment(f"py{version}", python, HERE / "requirements.txt")

    def tested(clean: Path) -> None:
        settings = with_package(clean, built)
        run(clean, "-m", "pip", "check")
        run(clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(given.pytest or [HERE]), env=settings)

    # A test waits more than it computes.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(tested, found.values()))
    for source in (PACKAGE, sdist()):
        from_source(source)
    if not found:
        raise Unavailable("no Python from 3.10 to 3.13 is found")
    print(f"tested with Python {', '.join(found)}")


if __name__ == "__main__":
    try:
        main()
    except Unavailable as unavailable:
        if REQUIRED:
            sys.exit(f"FAILED: {unavailable}")
        print(f"SKIPPED: {unavailable}", file=sys.stderr)
