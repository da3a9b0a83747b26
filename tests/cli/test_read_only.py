"""A project on a read-only disk, or a backup mounted as one: looking works, and what would write says why not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepfit.core.errors import StoreError
from keepfit.core.files import is_read_only, locked
from keepfit.serving.records import Records
from keepfit.testing.disks import read_only

TOML = """
model = "toy"

[data.toys]
from = "toys.csv"
size = { type = "number" }
sold = { type = "bool", role = "label" }

[train]
fit = "toys:train"
"""


def keepfit(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepfit", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "keepfit.toml").write_text(TOML)
    (folder / "toys.py").write_text("def train(X, y):\n    pass\n")
    (folder / "toys.csv").write_text("size,sold\n1,true\n2,false\n")
    assert keepfit("data", "add", cwd=folder).returncode == 0
    with Records(folder / "records.db") as records:
        records.store_labels({("", "a"): 1}, 1)
    with read_only(folder):
        yield folder


def test_commands_that_look_work(root: Path) -> None:
    assert keepfit("who-was-live", cwd=root).returncode == 3
    assert "toys@1" in keepfit("data", "log", cwd=root).stdout
    status = keepfit("status", cwd=root)
    assert status.returncode == 3
    assert "the disk is read-only" in status.stdout
    done = keepfit("data", "add", "toys.csv", "--name", "other", cwd=root)
    assert done.returncode in (1, 2)


def test_what_came_in_is_read_and_nothing_is_taken(root: Path) -> None:
    assert is_read_only(root / "nothing" / "here")
    with locked(root / "new.lock") as got:
        assert got
    with Records(root / "records.db") as records:
        assert records.labels_of(["a", "b"]) == {"a": 1}
        with pytest.raises(StoreError, match="readonly"):
            records.store_labels({("", "b"): 1}, 1)
    with Records(root / "nothing" / "records.db") as records:
        assert records.labels_of(["a"]) == {}
        with pytest.raises(StoreError):
            records.store_labels({("", "b"): 1}, 1)
