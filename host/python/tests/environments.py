"""Virtual environments of the tests, kept in the target folder while their requirements are the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "python"
SOURCE = HERE.parent / "python"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
REQUIRED = "python" in os.environ.get("UPRIGHT_REQUIRE_HOSTS", "").split()
"""Whether packages that cannot be installed are a failure."""

_MINUTES = 10


class Unavailable(Exception):
    """An interpreter or packages that cannot be had here."""


def interpreter(version: str) -> str:
    """A Python of this version: the one that runs, one in the path, or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        candidates.insert(0, sys.executable)
    for candidate in filter(None, candidates):
        # A shim of pyenv may stand for a version that is not installed.
        if subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
            return candidate
    raise Unavailable(f"no Python {version} is found")


def environment(name: str, python: str, requirements: Path, *options: str, also: tuple[Path, ...] = ()) -> Path:
    """Python of the environment of this name, made anew where its requirements have changed.

    `options` are pip's. `also` are files that the requirements name.
    """
    state = hashlib.sha256(b"".join([python.encode(), *(file.read_bytes() for file in (requirements, *also))])).hexdigest()
    folder = TARGET / name
    stamp, found = folder / "requirements.sha256", folder / "bin" / "python"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return found
    install(python, "-m", "venv", "--clear", folder)
    pip(found, *options, "--requirement", requirements)
    stamp.write_text(state, encoding="utf-8")
    return found


def pip(python: Path, *arguments: str | Path) -> None:
    """Installs packages. Raises `Unavailable` where that fails."""
    install(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def install(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Runs a command of an installation. Raises `Unavailable` with its last words where it fails."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60 * _MINUTES, env=env)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        raise Unavailable("\n".join(line[:200] for line in done.stderr.splitlines()[-5:]))


def with_package(python: Path, wheel: Path | None) -> dict[str, str]:
    """Settings in which the interpreter has the package: a wheel, or the source folder. Proxies are off."""
    settings = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if wheel is None:
        settings["PYTHONPATH"] = os.pathsep.join(filter(None, (settings.get("PYTHONPATH"), str(SOURCE))))
        return settings
    try:
        pip(python, "--no-index", "--no-deps", "--force-reinstall", wheel)
    except Unavailable as error:
        raise SystemExit(f"FAILED: {wheel} cannot be installed:\n{error}") from error
    return settings
