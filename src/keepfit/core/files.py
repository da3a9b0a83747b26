"""The only place that writes files that must survive a crash, and the only one that renames."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from keepfit.core.errors import StoreError

_PART = ".part-"


def write_file(path: Path, content: bytes | Callable[[IO[bytes]], object], *, mode: int = 0o644) -> None:
    """Put a file in place whole and durably, or not at all.

    `content` is the bytes, or a function that writes them to the open file it is given. The
    file is written beside its place, synced, renamed over it, and the folder synced. Raises
    StoreError when the disk refuses; the old file, if any, is then untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, part = tempfile.mkstemp(prefix=_PART, dir=path.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        sync_folder(path.parent)
    except OSError as problem:
        raise _refused(path, problem) from problem


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Make a folder appear whole and durably, or not at all; an existing one is left as it is."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=_PART, dir=path.parent))
        try:
            fill(part)
            _sync_tree(part)
            os.chmod(part, 0o755)
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                _rename_new(part, path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        sync_folder(path.parent)
    except OSError as problem:
        raise _refused(path, problem) from problem


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
        path.parent.mkdir(parents=True, exist_ok=True)
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
    """Remove what a killed writer left half written in `folder`; nothing else is touched."""
    for part in folder.glob(f"{_PART}*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _rename_new(part: Path, path: Path) -> None:
    try:
        os.rename(part, path)
    except OSError:
        if not path.is_dir():
            raise  # someone else published the same folder first: theirs is as good


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            fd = os.open(os.path.join(root, name), os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        sync_folder(Path(root))


def _refused(path: Path, problem: OSError) -> StoreError:
    reason = problem.strerror or str(problem)
    return StoreError(f"cannot write `{path.name}`: {reason}", where=str(path.parent), hint=f"df -h {path.parent}")
