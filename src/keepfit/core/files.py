"""The only place that writes files that must survive a crash, and the only one that renames."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from keepfit.core.errors import StoreError

_PART = ".part-"
_GRACE = 60.0
"""Seconds that a part is left alone whatever its lock says: its writer may not have locked it yet."""


def write_file(path: Path, content: bytes | Callable[[IO[bytes]], object], *, mode: int = 0o644) -> None:
    """Put a file in place whole and durably, or not at all.

    `content` is the bytes, or a function that writes them to the open file it is given. The
    file is written beside its place, synced, renamed over it, and the folder synced. Raises
    StoreError when the disk refuses; the old file, if any, is then untouched.
    """
    try:
        make_folder(path.parent)
        part = _new_part(path.parent)
        try:
            with open(part, "xb", opener=_private) as file:
                _mark_live(file.fileno())
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
                os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as problem:
        raise _refused(path, problem) from problem


def create_file(path: Path, content: bytes) -> bool:
    """Put a new file in place whole and durably; False, and nothing changes, when there is one already.

    Of several that try at once, one succeeds. Raises StoreError when the disk refuses.
    """
    try:
        make_folder(path.parent)
        part = _new_part(path.parent)
        try:
            with open(part, "xb", opener=_private) as file:
                _mark_live(file.fileno())
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
                os.link(part, path)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as problem:
        raise _refused(path, problem) from problem
    return True


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Make a folder appear whole and durably, or not at all; an existing one is left as it is.

    `fill` writes into the folder it is given. Raises StoreError when the disk refuses.
    """
    if path.is_dir():
        return
    try:
        make_folder(path.parent)
        part = _new_part(path.parent)
        part.mkdir(mode=0o700)
        fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _mark_live(fd)
            fill(part)
            os.chmod(part, 0o755)
            _sync_tree(part)
            _rename_new(part, path)
        finally:
            os.close(fd)
            shutil.rmtree(part, ignore_errors=True)
        sync_folder(path.parent)
    except OSError as problem:
        raise _refused(path, problem) from problem


def make_folder(path: Path) -> None:
    """Create a folder, and those above it that are missing, so that they survive a crash; OSError if refused."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the folder's own entries durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an advisory lock on `path` for the block; yields whether it was got.

    The kernel releases it when the process ends, however it ends: nothing to clean up by hand.
    """
    try:
        make_folder(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        raise _refused(path, problem) from problem
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def sweep(folder: Path) -> None:
    """Remove what killed writers left half written in `folder`; a live writer's part stays."""
    for part in folder.glob(f"{_PART}*"):
        with contextlib.suppress(OSError):
            if not _abandoned(part):
                continue
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()


def _new_part(folder: Path) -> Path:
    return folder / f"{_PART}{os.urandom(8).hex()}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _mark_live(fd: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: the part is then never swept
        fcntl.flock(fd, fcntl.LOCK_EX)


def _abandoned(part: Path) -> bool:
    """Whether the writer of a part is gone: the kernel let go of its lock."""
    if time.time() - part.stat().st_mtime < _GRACE:
        return False
    fd = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)
    return True


def _rename_new(part: Path, path: Path) -> None:
    try:
        os.rename(part, path)
    except OSError:
        if not path.is_dir():
            raise  # else someone published the same folder first: theirs is as good


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            if os.path.islink(path := os.path.join(root, name)):
                continue
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        sync_folder(Path(root))


def _refused(path: Path, problem: OSError) -> StoreError:
    reason = problem.strerror or str(problem)
    return StoreError(f"cannot write `{path.name}`: {reason}", where=str(path.parent), hint=f"df -h {path.parent}")
