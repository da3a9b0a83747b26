"""The faults that the proofs rest on happen where they are said to, whichever thread or child is the n-th."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from keepfit.testing.faults import Change, strike

TEN = """
import os, sys, threading
def write(name):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT)
    for number in range(4):
        try:
            print(name, number, os.write(fd, b"0123456789"))
        except OSError as problem:
            print(name, number, problem.strerror)
write("first")
thread = threading.Thread(target=write, args=["thread"])
thread.start(); thread.join()
if child := os.fork():
    os.waitpid(child, 0)
else:
    write("child")
"""
COMMAND = [sys.executable, "-u", "-c", TEN]


def sizes(folder: Path) -> list[int]:
    return [(folder / name).stat().st_size for name in ("first", "thread", "child") if (folder / name).exists()]


def test_all_changes_are_told_in_order(tmp_path: Path) -> None:
    done = strike(COMMAND, cwd=tmp_path)
    names = [Change(call, name) for name in ("first", "thread", "child") for call in ("openat", *["write"] * 4)]
    assert (done.exit_code, done.changes, sizes(tmp_path)) == (0, names, [40, 40, 40])


@pytest.mark.parametrize("at,left", [(3, [10]), (8, [40, 10]), (14, [40, 40, 20])])
def test_killed_before_the_nth(tmp_path: Path, at: int, left: list[int]) -> None:
    assert strike(COMMAND, "kill", at=at, cwd=tmp_path).exit_code == -9
    assert sizes(tmp_path)[: len(left)] == left or at > 10, "a child may outlive its parent"


def test_torn(tmp_path: Path) -> None:
    assert strike(COMMAND, "torn", at=8, cwd=tmp_path).exit_code == -9
    assert sizes(tmp_path) == [40, 15]


def test_refused_once(tmp_path: Path) -> None:
    told = strike(COMMAND, "EIO", at=8, cwd=tmp_path).stdout.splitlines()
    assert [line for line in told if not line.endswith(" 10")] == ["thread 1 Input/output error"]


def test_full_from_then_on(tmp_path: Path) -> None:
    done = strike(COMMAND, "ENOSPC", at=8, cwd=tmp_path)
    assert "thread 1 5\nthread 2 No space left on device\n" in done.stdout
    assert sizes(tmp_path) == [40, 15] and done.exit_code == 0


def test_a_fault_of_ones_own(tmp_path: Path) -> None:
    assert strike(COMMAND, lambda: os.truncate(tmp_path / "first", 3), at=8, cwd=tmp_path).exit_code == -9
    assert sizes(tmp_path) == [3, 20] or sizes(tmp_path) == [3, 10]
