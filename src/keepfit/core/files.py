"""The only place that writes files that must survive a crash, and the only one that renames."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from keepfit.core.errors import StoreError

_PART = ".part-"
_GRACE = 60.0
"""Seconds that a part is left alone whatever its lock says: its writer may not have locked it yet."""

_FICLONE = 0x40049409
"""The ioctl of Linux by which a file takes over the blocks of another."""
_CANNOT_CLONE: set[tuple[int, int]] = set()
"""Pairs of disks, from and to, that were seen to refuse it."""
_BATCH = 10_000
"""Files that are made durable together."""
_FEW = 8
"""Files that are synced one by one."""


Content = bytes | Callable[[IO[bytes]], object]
"""What to write: the bytes, or a function that writes them to the open file it is given."""


def write_file(path: Path, content: Content, *, mode: int = 0o644) -> None:
    """Put a file in place whole and durably, or not at all.

    The file is written beside its place, synced, renamed over it, and the folder synced. Raises
    StoreError when the disk refuses; the old file, if any, is then untouched.
    """
    write_files({path: content}, mode=mode)


def write_files(contents: Mapping[Path, Content], *, mode: int = 0o644) -> None:
    """Put files in place, each whole and durably or not at all, in less time than one after the other.

    All are written before the first is in place. Raises StoreError when the disk refuses.
    """
    path = None
    try:
        with contextlib.ExitStack() as parts:  # closing fails again with what is still to be written
            written = []
            for path, content in contents.items():
                make_folder(path.parent)
                written.append((path, parts.enter_context(_part(path.parent))))
                _fill(written[-1][1], content, mode)
            for path, file in written:
                os.fsync(file.fileno())
                os.replace(file.name, path)
            for path in {path.parent: path for path in contents}.values():
                sync_folder(path.parent)
    except OSError as problem:
        if path is None:
            raise
        raise _refused(path, problem) from problem


class Placing(NamedTuple):
    """A file to be put in place."""

    path: str
    original: Path | None
    """A read-only file with the same content, if there is one."""
    write: Callable[[IO[bytes]], object]
    """Writes the content."""


def place_files(files: Iterable[Placing], *, durable: bool = True) -> None:
    """Put many files in place, each whole or not at all; with `durable`, for good.

    The original is cloned where the file system can, else linked to where this process could not
    write through the link; else the content is written. Raises StoreError when the disk refuses,
    and what `write` raises; the files placed before then stay.
    """
    waiting = iter(files)
    while batch := list(itertools.islice(waiting, _BATCH)):
        _place_batch(batch, durable)


def move_files(moves: Mapping[Path, Path]) -> None:
    """Give durable files, each of them the key, another place on the same disk; StoreError when it refuses."""
    path = None
    try:
        for source, path in moves.items():
            make_folder(path.parent)
            os.replace(source, path)
        for folder in {p.parent for pair in moves.items() for p in pair}:
            sync_folder(folder)
    except OSError as problem:
        if path is None:
            raise
        raise _refused(path, problem) from problem


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files durably, and the folders that are empty then; StoreError when the disk refuses."""
    folders: set[Path] = set()
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as problem:
            raise _refused(path, problem) from problem
        folders.add(path.parent)
    for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
        with contextlib.suppress(OSError):
            while True:  # ends at the first folder that is not empty
                folder.rmdir()
                folder = folder.parent
        if folder.is_dir():
            sync_folder(folder)


def create_file(path: Path, content: bytes) -> bool:
    """Put a new file in place whole and durably; False, and nothing changes, when there is one already.

    Of several that try at once, one succeeds. Raises StoreError when the disk refuses.
    """
    try:
        make_folder(path.parent)
        with _part(path.parent) as file:
            _fill(file, content, 0o644)
            os.fsync(file.fileno())
            _link_new(Path(file.name), path)
        sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as problem:
        raise _refused(path, problem) from problem
    return True


def append_file(path: Path, at: int, parts: Iterable[bytes]) -> None:
    """Write behind the first `at` bytes of a file, made if need be, durably; what was behind them is cut off.

    Whoever reads must know how far the file is good: killed, this leaves some of the parts there.
    Raises StoreError when the disk refuses.
    """
    try:
        make_folder(path.parent)
        with open(path, "ab") as file:
            file.truncate(at)
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        if not at:
            sync_folder(path.parent)
    except OSError as problem:
        with contextlib.suppress(OSError):
            os.truncate(path, at) if at else path.unlink()
        raise _refused(path, problem) from problem


def move_file(path: Path, to: Path) -> None:
    """Give a file another name in its folder, durably, in place of what had it; StoreError when the disk refuses."""
    try:
        os.replace(path, to)
        sync_folder(to.parent)
    except OSError as problem:
        raise _refused(to, problem) from problem


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


def is_read_only(path: Path) -> bool:
    """Whether the disk that holds the path, or would hold it, lets nobody write."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def sync_folder(path: Path) -> None:
    """Make the folder's own entries durable."""
    _sync(path, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make durable what anyone has written to a file."""
    _sync(path)


def _sync(path: str | Path, flags: int = 0) -> None:
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an advisory lock on `path` for the block; yields whether it was got.

    The kernel releases it when the process ends, however it ends: nothing to clean up by hand. On a
    read-only disk there is nothing to guard.
    """
    try:
        make_folder(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        if problem.errno != errno.EROFS:
            raise _refused(path, problem) from problem
        fd = None
    if fd is None:
        yield True
        return
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


@contextlib.contextmanager
def _part(folder: Path) -> Iterator[IO[bytes]]:
    """A file to write that is gone at the end of the block, unless it was renamed."""
    part = _new_part(folder)
    try:
        with open(part, "xb", opener=_private) as file:
            _mark_live(file.fileno())
            yield file
    finally:
        part.unlink(missing_ok=True)


def _fill(file: IO[bytes], content: Content, mode: int) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content)
    file.flush()
    os.fchmod(file.fileno(), mode)


def is_part(name: str) -> bool:
    """Whether a file of this name is one that is still being written, or was when its writer was killed."""
    return name.startswith(_PART)


def _new_part(folder: Path) -> Path:
    return folder / f"{_PART}{os.urandom(8).hex()}"


def _place_batch(batch: Sequence[Placing], durable: bool) -> None:
    parts: list[tuple[str, str]] = []
    placed = 0
    folders: set[str] = set()
    try:
        with _Disks() as disks:
            for path, original, write in batch:
                folder = os.path.dirname(path) or "."
                if folder not in folders:
                    folders |= _make_folders(folder)
                    disks.watch(folder)
                parts.append((f"{folder}/{_PART}{os.urandom(8).hex()}", path))
                _make_part(parts[-1][0], original, write)
            if durable:
                disks.sync([part for part, _ in parts])
            while placed < len(parts):
                os.replace(*parts[placed])
                placed += 1
            if durable:
                disks.sync(folders)
    except OSError as problem:
        last = parts[-1][1] if parts else batch[0].path
        raise _refused(Path(last), problem) from problem
    finally:
        for part, _ in parts[placed:]:
            with contextlib.suppress(OSError):
                os.unlink(part)


def _make_folders(path: str) -> set[str]:
    """Make a folder; gives it and those whose entries are new, which are still to be synced."""
    found = [path]
    while not os.path.isdir(found[-1]):
        found.append(os.path.dirname(found[-1]) or ".")
    for folder in reversed(found):
        Path(folder).mkdir(exist_ok=True)
    return set(found)


def _make_part(part: str, original: Path | None, write: Callable[[IO[bytes]], object]) -> None:
    if original is not None and (_clone(original, part) or _link(original, part)):
        return
    with open(part, "xb", buffering=0, opener=_private) as target:
        write(target)
        os.fchmod(target.fileno(), 0o644)


def _clone(original: Path, part: str) -> bool:
    """Make a file that shares the blocks of another, where the file system can."""
    disks = (os.stat(original).st_dev, os.stat(os.path.dirname(part)).st_dev)
    if disks in _CANNOT_CLONE:
        return False
    with open(original, "rb") as source, open(part, "xb", opener=_private) as target:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
            os.fchmod(target.fileno(), 0o644)
            return True
        except OSError:
            _CANNOT_CLONE.add(disks)
            os.unlink(part)
            return False


def _link(original: Path, part: str) -> bool:
    """Make a second name for a file, where this process could not write through it."""
    if os.access(original, os.W_OK):
        return False
    try:
        os.link(original, part)
    except OSError:
        return False
    return True


class _Disks:
    """Makes many files durable: one by one when they are few, else each disk as a whole."""

    def __init__(self) -> None:
        self._watched: dict[int, int] = {}

    def __enter__(self) -> _Disks:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._watched.values():
            os.close(fd)

    def watch(self, folder: str) -> None:
        """Open the folder's disk: it tells only of errors after that."""
        disk = os.stat(folder).st_dev
        if disk not in self._watched:
            self._watched[disk] = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def sync(self, paths: Collection[str]) -> None:
        if len(paths) > _FEW and all(_sync_disk(fd) for fd in self._watched.values()):
            return
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _sync_disk(fd: int) -> bool:
    """Make all that was written to a disk durable; False where the system cannot."""
    import ctypes  # only here: starting costs little

    system = ctypes.CDLL(None, use_errno=True)
    if not hasattr(system, "syncfs"):
        return False
    if system.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return True


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


def _link_new(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except OSError as problem:
        if problem.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        with locked(path.parent / ".lock"):  # a file system without hard links
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            os.rename(part, path)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            if os.path.islink(path := os.path.join(root, name)):
                continue
            _sync(path)
        sync_folder(Path(root))


def _refused(path: Path, problem: OSError) -> StoreError:
    reason = problem.strerror or str(problem)
    return StoreError(f"cannot write `{path.name}`: {reason}", where=str(path.parent), hint=f"df -h {path.parent}")
