"""Every command that writes, struck at its n-th change of the disk, damages nothing; run again, it ends the same.

KEEPFIT_STRIKES=all strikes at every change, KEEPFIT_STRIKES=40 at forty, spread over all kinds of calls;
by default each command gets as many as fit into some seconds.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMANDS, Command
from undisturbed import Undisturbed, judged, places, undisturbed

from keepfit.testing.disks import small_disk
from keepfit.testing.faults import FAULTS, Change, Struck, strike
from keepfit.testing.trap import GROWS, WRITES

SECONDS = 8.0
"""That the strikes at one command may take, by default."""
DURABLE = {"fsync", "fdatasync", "rename", "link", "unlink", "syncfs"}
"""The calls at which most can go wrong."""

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)]


@pytest.fixture
def known(command: Command, tmp_path: Path) -> Undisturbed:
    return undisturbed(command, places(tmp_path))


def test_struck_at_any_change_and_run_again_it_ends_the_same(
    command: Command, known: Undisturbed, tmp_path: Path
) -> None:
    told = []
    count = Counter[str]()
    for fault, at in points(command.name, known):
        place = shutil.copytree(known.place, tmp_path / "struck")
        struck = strike(command.line, fault, at=at, cwd=place / command.cwd, below=place)
        met = struck.changes[at - 1] if len(struck.changes) >= at else None
        count[fault if met else "missed"] += 1
        if found := list(judged(command, known, struck, place)):
            told += [f"{fault} at {at} ({met}):", *(f"    {line}" for line in found)]
        shutil.rmtree(place)
    print(f"{command.name}: {len(known.done.changes)} changes, struck {dict(count)}")
    assert not told, "\n".join(told)


def test_on_a_full_disk_it_is_refused_and_done_when_there_is_room(
    command: Command, known: Undisturbed, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", kilobytes=1 << 16) as disk:
        place = shutil.copytree(known.place, disk / "place")
        filler = disk / "filler"
        left = random.Random(command.name).randrange(1 << 14, 1 << 17)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - left)
        done = subprocess.run(command.line, cwd=place / command.cwd, capture_output=True, text=True, check=False)
        filler.unlink()
        struck = Struck(done.returncode, done.stdout, done.stderr, [])
        found = list(judged(command, known, struck, place))
    print(f"{command.name}: {left} bytes left, ended with {done.returncode}")
    assert not found, "\n".join(found)


def points(name: str, known: Undisturbed) -> Iterator[tuple[str, int]]:
    """Where to strike, and how."""
    changes = known.done.changes
    asked = os.environ.get("KEEPFIT_STRIKES", "")
    if asked == "all":
        for at, change in enumerate(changes, 1):
            yield from ((fault, at) for fault in FAULTS if fits(fault, change))
        return
    most = int(asked) if asked else max(3, min(12, int(SECONDS / (2 * known.seconds))))
    order = list(enumerate(changes, 1))
    random.Random(name).shuffle(order)
    taken = Counter[Change]()
    for number in range(most):
        fault, durable = FAULTS[number % len(FAULTS)], number // len(FAULTS) % 2 == 0
        able = [(at, change) for at, change in order if fits(fault, change)]
        best = [(at, c) for at, c in able if c.name in DURABLE] if durable and fault in ("kill", "EIO") else able
        at, change = min(best or able, key=lambda found: taken[alike(found[1])])
        taken[alike(change)] += 1
        yield fault, at


def fits(fault: str, change: Change) -> bool:
    """Whether a fault can be made of such a call that another is not already."""
    return change.name in {"torn": WRITES, "ENOSPC": GROWS}.get(fault, (change.name,))


def alike(change: Change) -> Change:
    """The kind of call, on the kind of file."""
    return Change(change.name, re.sub(r"[0-9a-f]{6,}|\d+", "#", change.path))
