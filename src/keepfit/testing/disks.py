"""Disks that fail: full, read-only, or without power. Mounting takes the rights of root; else the test is skipped.

The power is cut by the shutdown call of ext4 and XFS: from then on nothing reaches the disk, and what was
only in memory is gone (the method of xfstests; see `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN` in the
kernel's sources).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


@contextlib.contextmanager
def small_disk(folder: Path, *, kilobytes: int) -> Iterator[Path]:
    """A file system of this size, mounted on a folder for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """The folder, with its content, read-only for the block."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until the disk of this folder is full; gives the file to delete to make room again."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return filler


class Disk:
    """A small file system in a file, mounted on `folder`."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self._image = image

    def cut(self) -> None:
        """Cut the power: what has not reached the disk never will."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def restart(self) -> None:
        """Mount what is on the disk again, as after a crash."""
        deadline = time.monotonic() + 10
        while subprocess.run(["umount", str(self.folder)], check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline, f"{self.folder} is still in use"
            time.sleep(0.05)  # a process that has just died lets go of its files
        self.mount()

    def mount(self) -> None:
        """Mount the image; skips the test where that is not allowed."""
        _mount("-o", "loop", str(self._image), str(self.folder))


@contextlib.contextmanager
def disk(folder: Path, kind: str, *, megabytes: int = 4096) -> Iterator[Disk]:
    """A disk with a file system of this kind (`ext4`, `xfs`) for the block, mounted on `folder`."""
    make = shutil.which(f"mkfs.{kind}") or pytest.skip(f"mkfs.{kind} is not installed")
    image = folder.with_suffix(".image")
    folder.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run([make, "-q", str(image)], check=True)
    made = Disk(folder, image)
    made.mount()
    try:
        yield made
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        image.unlink()


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        told = getattr(problem, "stderr", b"") or b""
        pytest.skip(f"cannot mount here: {problem} {told.decode().strip()}")
