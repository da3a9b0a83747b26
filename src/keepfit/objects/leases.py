"""Leases: what running processes have put or found in a store, and will perhaps name in a fact.

An object is put first and named by a fact afterwards. In between nothing shows that it is
needed, so whoever frees objects must not take it. A lease shows it: every object that is put,
or asked for and found, is written into a file of this process before the answer is given, and
the file is locked as long as the process lives, however it ends. Two rules make this exact:

1. looking whether an object is there, storing it and writing the lease happen under a shared
   lock; freeing (`freeing`) under an exclusive one. So an object is either leased before it
   is looked at by who frees, or gone before it is looked for by who puts, and then stored anew.
2. who frees reads the leases first and the facts afterwards: an object that is neither leased by a
   living process nor named by a fact will not be named by one, since whoever put it is gone.

Leases of processes that have ended count for a day: one process may hand digests to another.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from keepfit.core.errors import StoreError
from keepfit.core.files import make_folder
from keepfit.objects.object import Objects

GRACE = 86400.0
"""Seconds that the leases of a process that has ended still count."""
Digests = list[str]
_LOCK = "lock"
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Where this is said nobody can free anything: an object that was found needs no lease."""
_DIGEST = re.compile(r"^[0-9a-f]{64}$", re.MULTILINE)


class Leased:
    """The store `objects`, its leases kept in `folder`; see `Objects` for what it promises."""

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects = objects
        self._folder = folder
        self.start()
        _LEASED.add(self)

    def start(self) -> None:
        """Begin without leases."""
        self._writing = threading.Lock()
        self._leased: set[str] = set()
        self._file: int | None = None

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        with _holding(self._folder, fcntl.LOCK_SH):
            return self._lease([self._objects.put(content, like=like)])[0]

    def put_all(self, contents: Iterable[bytes | Path]) -> list[str]:
        with _holding(self._folder, fcntl.LOCK_SH):
            return self._lease(self._objects.put_all(contents))

    def file(self, digest: str) -> Path | None:
        return self._objects.file(digest)

    def open(self, digest: str) -> BinaryIO:
        return self._objects.open(digest)

    def has(self, digest: str) -> bool:
        if digest in self._leased:
            return self._objects.has(digest)
        with _holding(self._folder, fcntl.LOCK_SH):
            there = self._objects.has(digest)
            if there:
                self._lease([digest])
            return there

    def list(self) -> Iterator[str]:
        return self._objects.list()

    def delete(self, digest: str) -> None:
        self._objects.delete(digest)

    def _lease(self, digests: Digests) -> Digests:
        with self._writing:
            new = [digest for digest in dict.fromkeys(digests) if digest not in self._leased]
            if new:
                self._write("".join(f"{digest}\n" for digest in new).encode())
                self._leased.update(new)
        return digests

    def _write(self, lines: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._open()
            if os.write(self._file, lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as problem:
            if problem.errno not in _UNWRITABLE:
                raise StoreError(f"cannot write a lease: {problem.strerror}", where=str(self._folder)) from problem

    def _open(self) -> int:
        path = self._folder / f"{os.getpid()}-{os.urandom(4).hex()}"
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd


@contextlib.contextmanager
def freeing(folder: Path) -> Iterator[set[str]]:
    """Keep everyone from putting objects for the block; yields the digests that are leased.

    Leases that count no more are cleared away. To be held briefly: who puts waits.
    """
    with _holding(folder, fcntl.LOCK_EX):
        yield set[str]().union(*(_DIGEST.findall(path.read_text()) for path in _counting(folder)))


def _counting(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name == _LOCK:
            continue
        if time.time() - path.stat().st_mtime > GRACE and _is_over(path):
            path.unlink(missing_ok=True)
        else:
            yield path


def _is_over(path: Path) -> bool:
    """Whether the process whose leases these are has ended: the kernel let go of its lock."""
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextlib.contextmanager
def _holding(folder: Path, kind: int) -> Iterator[None]:
    """Hold the lock of a folder of leases; in one that cannot be written nothing is held."""
    try:
        make_folder(folder)
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        if kind == fcntl.LOCK_EX or problem.errno not in _UNWRITABLE:
            raise StoreError(f"cannot lock: {problem.strerror}", where=str(folder)) from problem
        yield
        return
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


_LEASED: weakref.WeakSet[Leased] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for leased in _LEASED:  # the parent's leases are the parent's
        leased.start()


os.register_at_fork(after_in_child=_after_fork_in_child)
