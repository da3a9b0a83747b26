"""The power fails: whatever was acknowledged is there afterwards, nothing is damaged, and the work goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_project

from keepfit.testing.faults import disk

WRITER = Path(__file__).with_name("writer.py")
KINDS = ("ext4", "xfs")


def check(folder: Path, acknowledged: set[tuple[str, str]]) -> None:
    """Everything acknowledged is there, everything that is there is whole; looked at by a process of its own."""
    told = "\n".join(f"{kind} {id}" for kind, id in acknowledged)
    command = [sys.executable, str(WRITER.with_name("checker.py")), str(folder)]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_acknowledged_survives_a_power_cut(kind: str, tmp_path: Path) -> None:
    chance, acknowledged = random.Random(kind), set[tuple[str, str]]()
    with disk(tmp_path / "disk", kind) as place:
        for round in range(8):
            command = [sys.executable, str(WRITER), str(place.folder), str(round)]
            writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert writer.stdout
            first = writer.stdout.readline()
            time.sleep(chance.uniform(0, 1.5))
            cut = time.monotonic()  # while the kernel cuts, it may call a sync done that is not
            place.cut()
            said, _ = writer.communicate(timeout=60)
            told = [line.split() for line in (first + said).splitlines()]
            acknowledged |= {(kind, id) for kind, id, at in told if float(at) < cut}
            place.restart()
            check(place.folder, acknowledged)
    assert len(acknowledged) > 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_command_whose_power_failed_can_be_run_again(kind: str, tmp_path: Path) -> None:
    chance = random.Random(kind)
    with disk(tmp_path / "disk", kind) as place:
        folder = small_project.write(place.folder / "parcels")
        subprocess.run(["sync", "--file-system", str(folder)], check=True)
        command = [sys.executable, "-m", "keepfit", "retrain", "--json"]
        for _ in range(6):
            with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
                time.sleep(chance.uniform(0.3, 6))
                place.cut()
            place.restart()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        check(folder, set())
