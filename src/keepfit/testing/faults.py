"""Faults made on purpose: a command killed or refused at the n-th call of a kind, and the power of a disk cut.

strace does the first (Debian package `strace`), the shutdown call of ext4 and XFS the second: from
then on nothing reaches the disk, and what was only in memory is gone, as when the power fails
(the method of xfstests; see `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN` in the kernel's sources).
Both are skipped where they cannot be had.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

WRITES = "write,pwrite64,writev,fsync,fdatasync,rename,renameat2,unlink,unlinkat,mkdir,link,linkat,ftruncate,fallocate"
"""The calls that change what is on a disk, or make it durable."""

_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


def strike(
    command: Sequence[str], fault: str, *, at: int, calls: str = WRITES, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command whose `at`-th call, in any of its threads and children, meets a fault.

    `fault` is as strace's `inject` takes it: `signal=KILL`, `error=EIO`, `error=ENOSPC`.
    """
    strace = shutil.which("strace") or pytest.skip("strace is not installed")
    inject = f"inject={calls}:{fault}:when={at}"
    traced = [strace, "-f", "-qqq", "--seccomp-bpf", "-e", f"trace={calls}", "-e", inject, "-o", os.devnull, *command]
    return subprocess.run(traced, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


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
        subprocess.run(["umount", str(self.folder)], check=True)
        self.mount()

    def mount(self) -> None:
        """Mount the image; skips the test where that is not allowed."""
        done = subprocess.run(
            ["mount", "-o", "loop", str(self._image), str(self.folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")


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
