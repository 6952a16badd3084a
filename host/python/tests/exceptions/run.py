"""Raises real exceptions of the oldest and the newest clients, and prints what they are taken for.

    python host/python/tests/exceptions/run.py [--wheel FILE]

Makes two virtual environments in the target folder, with this interpreter. Uses the package in the source folder (with
its native module built there), or a wheel. Skips an environment that cannot be installed. Under
`UPRIGHT_REQUIRE_HOSTS=python` that is a failure.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environments import REQUIRED, TARGET, Unavailable, environment, with_package  # noqa: E402

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = ("oldest", "newest")
COLUMNS = ("case", "clients", "exception", "kind", "category", "retryable", "expected", "")
MINUTES = 10

Row = dict[str, Any]


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command and keeps its output."""
    arguments = list(map(str, command))
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=60 * MINUTES, **options)


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
    settings = with_package(python, wheel) | {"UPRIGHT_TEST_CERTIFICATE": certificate()}
    done = run(python, HERE / "matrix.py", env=settings)
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
    TARGET.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[Row]] = {}
    for name in ENVIRONMENTS:
        try:
            python = environment(f"exceptions-{name}", sys.executable, HERE / f"{name}.txt")
        except Unavailable as missing:
            print(f"SKIPPED: the {name} clients cannot be installed here: {missing}", file=sys.stderr)
            if REQUIRED:
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
