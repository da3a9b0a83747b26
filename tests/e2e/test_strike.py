"""Killed, or refused by the disk, at its n-th write, a command damages nothing; run again, it ends the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_project
from test_power import check

from keepfit.testing.faults import strike

RETRAIN = [sys.executable, "-m", "keepfit", "retrain", "--json"]
POINTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def outcome(folder: Path) -> Any:
    """What is in production after one more try, apart from when."""
    done = subprocess.run(RETRAIN, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    live = subprocess.run([*RETRAIN[:3], "why", "champion", "--json"], cwd=folder, capture_output=True, check=True)
    return [(link["kind"], link["id"]) for link in json.loads(live.stdout)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return outcome(small_project.write(tmp_path_factory.mktemp("undisturbed") / "parcels"))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["signal=KILL", "error=EIO", "error=ENOSPC"])
def test_struck_at_any_write_and_run_again_it_ends_the_same(fault: str, undisturbed: Any, tmp_path: Path) -> None:
    for at in POINTS:
        folder = small_project.write(tmp_path / f"{at}" / "parcels")
        struck = strike(RETRAIN, fault, at=at, cwd=folder)
        assert "Traceback" not in struck.stderr, f"at write {at}:\n{struck.stderr}"
        assert outcome(folder) == undisturbed, f"at write {at}"
        check(folder, set())
