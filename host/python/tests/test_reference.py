"""The reference's own tests pass, unmodified, through a module of two lines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHIM = 'import requests\nfrom upright.error_recovery import *\n'


def test_the_references_own_tests_pass_through_a_module_of_two_lines(tmp_path: Path) -> None:
    path = os.environ.get("UPRIGHT_REFERENCE_TESTS")
    if not path:
        pytest.skip("UPRIGHT_REFERENCE_TESTS does not name the reference's tests/test_error_recovery.py")
    utils = tmp_path / "utils"
    utils.mkdir()
    (utils / "__init__.py").touch()
    (utils / "error_recovery.py").write_text(SHIM, encoding="utf-8")
    shutil.copy(path, tmp_path / "test_error_recovery.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_error_recovery.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    passed = re.search(r"^(\d+) passed in", ran.stdout, re.MULTILINE)
    assert passed and ran.returncode == 0, ran.stdout
    assert int(passed[1]) == 46, ran.stdout
