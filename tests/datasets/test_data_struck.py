"""Killed, or refused by the disk, at its n-th write, a command on data loses nothing; run again, it ends the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from data_kit import contents, make_home, write

from keepfit.datasets.tree import tree_files
from keepfit.datasets.version import list_versions
from keepfit.objects import read
from keepfit.testing.faults import strike

TOML = """
model = "m"
[data.d]
from = "none.csv"
x = { type = "number" }
y = { type = "number", role = "label" }
[train]
fit = "m:fit"
"""
DATA = [sys.executable, "-m", "keepfit", "data"]
FAULTS = ["signal=KILL", "error=EIO", "error=ENOSPC"]
POINTS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)


def project(folder: Path) -> Path:
    write(
        folder,
        {"keepfit.toml": TOML, "m.py": "def fit(X, y): ...", **{f"pictures/{i % 3}/{i}": f"{i}" for i in range(12)}},
    )
    with open(folder / "pictures/large", "wb") as file:
        file.write(b"large" * 300_000)
    return folder


def whole(folder: Path) -> None:
    """Every version that is recorded can be had again."""
    home = make_home(folder)
    for name in home.ledger.names("data/"):
        for version in list_versions(home, name.removeprefix("data/")):
            for file in tree_files(home.objects, version.tree):
                assert len(read(home.objects, file.digest)) == file.size
    home.ledger.close()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_adding(fault: str, tmp_path: Path) -> None:
    for at in POINTS:
        folder = project(tmp_path / f"{at}")
        struck = strike([*DATA, "add", "pictures"], fault, at=at, cwd=folder)
        assert "Traceback" not in struck.stderr, f"at write {at}:\n{struck.stderr}"
        whole(folder)
        subprocess.run([*DATA, "add", "pictures"], cwd=folder, check=True, capture_output=True)
        whole(folder)
        subprocess.run([*DATA, "status", "pictures"], cwd=folder, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_checking_out(fault: str, tmp_path: Path) -> None:
    for at in POINTS:
        folder = project(tmp_path / f"{at}")
        subprocess.run([*DATA, "add", "pictures"], cwd=folder, check=True, capture_output=True)
        old = contents(folder / "pictures")
        write(folder, {"pictures/0/0": "other", "pictures/9/9": "new"})
        (folder / "pictures/1/1").unlink()
        subprocess.run([*DATA, "add", "pictures"], cwd=folder, check=True, capture_output=True)
        new = contents(folder / "pictures")
        struck = strike([*DATA, "checkout", "pictures@1"], fault, at=at, cwd=folder)
        assert "Traceback" not in struck.stderr, f"at write {at}:\n{struck.stderr}"
        for path, text in contents(folder / "pictures").items():
            assert "/.part-" in f"/{path}" or text in (old.get(path), new.get(path)), f"at write {at}: {path}"
        for part in folder.rglob(".part-*"):
            os.utime(part, (0, 0))
        subprocess.run([*DATA, "checkout", "pictures@1"], cwd=folder, check=True, capture_output=True)
        found = {p: t for p, t in contents(folder / "pictures").items() if ".part-" not in p}
        assert found == old, f"at write {at}"
