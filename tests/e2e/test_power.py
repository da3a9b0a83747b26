"""The power fails: whatever was acknowledged is there afterwards, nothing is damaged, and the work goes on."""

from __future__ import annotations

import pickle
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import judge
import pytest
from commands import COMMANDS
from judge import State
from undisturbed import judged, places, undisturbed

from keepfit.testing.disks import disk
from keepfit.testing.faults import strike

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
@pytest.mark.parametrize("name", ["add", "train", "push"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_command_whose_power_failed_can_be_run_again(kind: str, name: str, tmp_path: Path) -> None:
    command = next(c for c in COMMANDS if c.name == name)
    known = undisturbed(command, places(tmp_path))
    chance, told = random.Random(f"{kind} {name}"), list[str]()
    with disk(tmp_path / "disk", kind) as drive:
        for at in sorted(chance.sample(range(1, len(known.done.changes)), 3)):
            place = shutil.copytree(known.place, drive.folder / f"{at}")
            subprocess.run(["sync", "--file-system", str(place)], check=True)
            struck = strike(command.line, drive.cut, at=at, cwd=place / command.cwd, below=place)
            drive.restart()
            told += [f"cut at {at}: {line}" for line in judged(command, known, struck, place, look=look_apart)]
    assert not told, "\n".join(told)


def look_apart(place: Path) -> State:
    """What there is, by a process of its own, so that no file stays open."""
    command = [sys.executable, str(Path(judge.__file__)), str(place)]
    return State(*pickle.loads(subprocess.run(command, capture_output=True, check=True).stdout))
