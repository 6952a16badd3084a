"""Raises real exceptions of the oldest and the newest clients, and prints what they are taken for.

    python host/python/tests/exceptions/run.py [--wheel FILE]

Makes two virtual environments in the target folder, with this interpreter. Uses the package in the source folder (with
its native module built there), or a wheel. Skips an environment that cannot be installed. Under
`UPRIGHT_REQUIRE_HOSTS=python` that is a failure.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "python"
TARGET = HERE.parents[3] / "target" / "python-exceptions"
ENVIRONMENTS = ("oldest", "newest")
COLUMNS = ("case", "clients", "exception", "kind", "category", "retryable", "expected", "")
MINUTES = 10

Row = dict[str, Any]


class Unavailable(Exception):
    """An environment that cannot be made here."""


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command and keeps its output."""
    arguments = list(map(str, command))
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=60 * MINUTES, **options)


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
        installed = run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(str(error)) from error
    if installed.returncode:
        raise Unavailable("\n".join(installed.stderr.splitlines()[-5:]))
    stamp.write_text(state)
    return python


def certificate() -> str:
    """A file with key and self-signed certificate; empty without openssl."""
    openssl, path = shutil.which("openssl"), TARGET / "certificate.pem"
    if openssl is None:
        return ""
    options = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2", "-keyout", "-")
    made = run(openssl, *options)
    path.write_text(made.stdout)
    return "" if made.returncode else str(path)


def examined(python: Path, wheel: Path | None) -> list[Row]:
    """Runs all cases in an environment."""
    paths = [os.environ.get("PYTHONPATH", "")]
    if wheel is None:
        paths.append(str(SOURCE))
    else:
        installed = run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel)
        if installed.returncode:
            raise SystemExit(f"{wheel} cannot be installed:\n{installed.stderr}")
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "UPRIGHT_TEST_CERTIFICATE": certificate()}
    done = run(python, HERE / "matrix.py", env=environment)
    if done.returncode:
        raise SystemExit(f"the cases did not run to their end:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def cells(clients: str, row: Row) -> tuple[str, ...]:
    """A line of the table."""
    expected = " ".join(map(str, row["expected"]))
    if "absent" in row:
        return (row["case"], clients, f"({row['absent']})", "", "", "", expected, "absent")
    wrong = "" if row["right"] else "WRONG"
    if row.get("facts") != row.get("wanted_facts"):
        wrong = f"WRONG: {row['facts']} instead of {row['wanted_facts']}"
    found = (str(row.get(name, "-")) for name in ("type", "kind", "category", "retryable"))
    return (row["case"], clients, *found, expected, wrong)


def table(results: dict[str, list[Row]]) -> list[str]:
    """The lines of the table. Environments with the same outcome share one."""
    outcomes: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for name, rows in results.items():
        for row in rows:
            outcomes.setdefault(row["case"], {}).setdefault(cells("", row), []).append(name)
    lines: list[tuple[str, ...]] = [COLUMNS]
    for outcome in outcomes.values():
        lines += [(line[0], "+".join(names), *line[2:]) for line, names in outcome.items()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def main() -> int:
    """Runs all environments. Returns 0 if everything that ran is right."""
    options = argparse.ArgumentParser(description="Reads real exceptions of the oldest and the newest clients.")
    options.add_argument("--wheel", type=Path, help="the package; without it, the source folder")
    wheel = options.parse_args().wheel
    required = "python" in os.environ.get("UPRIGHT_REQUIRE_HOSTS", "").split()
    TARGET.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[Row]] = {}
    for name in ENVIRONMENTS:
        try:
            python = interpreter(name)
        except Unavailable as missing:
            print(f"SKIPPED: the {name} clients cannot be installed here: {missing}", file=sys.stderr)
            if required:
                return 1
            continue
        results[name] = examined(python, wheel)
    rows = [row for rows in results.values() for row in rows if "absent" not in row]
    right = sum(row["right"] for row in rows)
    print("\n".join(table(results)))
    if rows and "category" not in rows[0]:
        print("upright._native has no classify: only kinds were compared")
    print(f"reference right: {sum(row.get('reference_right', False) for row in rows)} of {len(rows)} (retryable alone)")
    print(f"{right} of {len(rows)}")
    return 0 if right == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
