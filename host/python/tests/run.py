#!/usr/bin/env python3
"""Builds the package's wheel and tests it in a clean environment of each interpreter from 3.10 to 3.13.

An interpreter that is not found is named loudly. With `python` in `UPRIGHT_REQUIRE_HOSTS`, Python packages that cannot
be installed are a failure. `--release` builds what users get; the default is the profile of the Rust tests.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent
ROOT = PACKAGE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = TARGET / "python"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
MATURIN = "maturin==1.16.0"
REQUIRED = "python" in os.environ.get("UPRIGHT_REQUIRE_HOSTS", "").split()


class Unavailable(Exception):
    """Packages cannot be installed here."""


def run(*command: str | os.PathLike[str], **settings: object) -> None:
    """Runs a command, and ends the program where it fails."""
    print("$", *map(str, command), flush=True)
    if subprocess.run(command, check=False, **settings).returncode:  # type: ignore[call-overload]
        sys.exit(f"FAILED: {' '.join(map(str, command))}")


def interpreter(version: str) -> str | None:
    """A Python of this version: in the path, or of pyenv."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        candidates.insert(0, sys.executable)
    for candidate in filter(None, candidates):
        # A shim of pyenv may stand for a version that is not installed.
        if subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def environment(python: str, name: str, *packages: str | os.PathLike[str]) -> pathlib.Path:
    """Python of a virtual environment with these packages."""
    folder = WORK / name
    found = folder / "bin" / "python"
    if not found.exists():
        run(python, "-m", "venv", folder)
    install = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    if subprocess.run(install, check=False).returncode:
        raise Unavailable(f"pip cannot install {' '.join(map(str, packages))}")
    return found


def wheel(release: bool) -> pathlib.Path:
    """The package's wheel, built anew."""
    maturin = environment(sys.executable, "tools", MATURIN).parent / "maturin"
    out = WORK / "wheels"
    shutil.rmtree(out, ignore_errors=True)
    profile = ["--release", "--strip"] if release else ["--profile", "dev"]
    settings = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    run(maturin, "build", "--locked", "--quiet", *profile, "--interpreter", sys.executable, "--out", out, cwd=PACKAGE, env=settings)
    built = list(out.glob("upright-*.whl"))
    assert len(built) == 1, built
    print(f"{built[0].name}: {built[0].stat().st_size / 1e6:.1f} MB")
    return built[0]


def sdist() -> pathlib.Path:
    """The package's source distribution."""
    out = WORK / "sdist"
    shutil.rmtree(out, ignore_errors=True)
    command = [WORK / "tools" / "bin" / "maturin", "sdist", "--out", out]
    # It prints a warning for each crate, which is of interest only where it fails.
    if (done := subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False)).returncode:
        sys.exit(f"FAILED: maturin sdist: {done.stderr}")
    return next(out.glob("upright-*.tar.gz"))


def from_source(source: pathlib.Path) -> None:
    """Installs what pip builds from these sources into a new environment, and runs README's program there."""
    shutil.rmtree(WORK / "source", ignore_errors=True)
    clean = environment(sys.executable, "source", "--requirement", HERE / "requirements.txt")
    # Users get a release build; this one shares what the tests have compiled.
    settings = {**os.environ, "CARGO_TARGET_DIR": str(TARGET), "MATURIN_PEP517_ARGS": "--profile dev"}
    run(clean, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source, env=settings)
    run(clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "test_readme.py")


def main() -> None:
    """Builds, installs and tests."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--release", action="store_true")
    arguments.add_argument("--python", action="append", choices=VERSIONS, help="only this version; may be repeated")
    arguments.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    given = arguments.parse_args()
    built = wheel(given.release)
    tested = []
    for version in given.python or VERSIONS:
        python = interpreter(version)
        if python is None:
            print(f"\nWARNING: no Python {version} is found here: the package is NOT tested with it\n", file=sys.stderr)
            continue
        clean = environment(python, f"py{version}", "--requirement", HERE / "requirements.txt")
        run(clean, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--force-reinstall", built)
        run(clean, "-m", "pip", "check")
        run(clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(given.pytest or [HERE]))
        tested.append(version)
    for source in (PACKAGE, sdist()):
        from_source(source)
    if not tested:
        raise Unavailable("no Python from 3.10 to 3.13 is found")
    print(f"tested with Python {', '.join(tested)}")


if __name__ == "__main__":
    try:
        main()
    except Unavailable as unavailable:
        if REQUIRED:
            sys.exit(f"FAILED: {unavailable}")
        print(f"SKIPPED: {unavailable}", file=sys.stderr)
