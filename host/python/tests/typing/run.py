"""Runs mypy, pyright, stubtest and abi3audit over the package, beside every library that it names in its types.

    python host/python/tests/typing/run.py --wheel FILE

Makes a virtual environment in the target folder, with this interpreter. Checks the types of the wheel's modules, and
that its native module uses nothing but the stable interface of the oldest interpreter. Skips itself, loudly, where the checkers or libraries cannot be installed. Under `UPRIGHT_REQUIRE_HOSTS=python` that is a failure.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environments import REQUIRED, TARGET, Unavailable, environment, install  # noqa: E402

HERE = Path(__file__).resolve().parent


def unpacked(wheel: Path) -> Path:
    """A folder with the wheel's modules. Checkers pass over what is installed."""
    folder = TARGET / "typed"
    shutil.rmtree(folder, ignore_errors=True)
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def main() -> int:
    """Checks the wheel. Returns 0 if nothing was found."""
    options = argparse.ArgumentParser(description="Runs type checkers and abi3audit over the package.")
    options.add_argument("--wheel", type=Path, required=True, help="the package")
    wheel = options.parse_args().wheel
    # Pyright is a package of npm, which its package of PyPI installs when it runs first.
    settings = os.environ | {"PYRIGHT_PYTHON_CACHE_DIR": str(TARGET / "pyright"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    try:
        python = environment("typing", sys.executable, HERE / "requirements.txt")
        install(python.parent / "pyright", "--version", env=settings)
    except Unavailable as missing:
        print(f"\nSKIPPED: types and stable interface are NOT checked: {missing}\n", file=sys.stderr)
        return 1 if REQUIRED else 0
    audit = [python.parent / "abi3audit", "--strict", "--summary", wheel]
    if code := subprocess.run(audit, check=False, env=settings).returncode:
        return code
    settings["PYTHONPATH"] = str(unpacked(wheel))
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", HERE, HERE]
    return subprocess.run(command, check=False, env=settings).returncode


if __name__ == "__main__":
    sys.exit(main())
