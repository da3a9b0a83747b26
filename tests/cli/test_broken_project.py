"""Broken code or settings keep nobody from looking, rolling back and serving."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOML = """
model = "toy"

[data.toys]
from = "toys.csv"
size = { type = "number" }
sold = { type = "bool", role = "label" }

[train]
fit = "toys:train"

[serve]
port = 0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "keepfit.toml").write_text(TOML + "\n[watch]\nwindw = '1d'\n")
    (tmp_path / "toys.py").write_text("def train(X, y:\n")
    (tmp_path / "toys.csv").write_text("size,sold\n1,true\n2,false\n")
    return tmp_path


def keepfit(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepfit", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_looking_goes_on_with_a_warning_and_status_tells(root: Path) -> None:
    done = keepfit("who-was-live", cwd=root)
    assert done.returncode == 3
    assert "nothing was in production" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "warning: " in done.stderr
    done = keepfit("status", "--json", cwd=root)
    assert done.returncode == 1
    assert "keepfit.toml:16:1" in json.loads(done.stdout)["broken"]
    assert keepfit("train", cwd=root).returncode == 1


@pytest.fixture
def up(root: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "keepfit", "up", "--every", "0.1s"]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def test_up_serves_and_tells_the_problem(root: Path, up: subprocess.Popen[str]) -> None:
    assert up.stderr
    told = up.stderr.readline()
    assert "warning: " in told
    assert "toy is served at http://127.0.0.1:" in up.stderr.readline()
    assert "error[project]: 2 problems" in up.stderr.readline()
