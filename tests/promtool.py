"""Prometheus' own checker, promtool."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def promtool(*arguments: str, text: str = "") -> tuple[int, str]:
    """Run it on the text; return its exit status, and what it says of faults.

    Where there is no promtool the test is skipped; on a CI machine it fails.
    """
    program = shutil.which("promtool")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no promtool: install the package prometheus")
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr
