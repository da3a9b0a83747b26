"""A SQLite file shared by the threads and processes of one machine."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from keepfit.core.errors import DamagedObject, StoreError
from keepfit.core.files import is_read_only, make_folder, sync_file, sync_folder
from keepfit.core.pool import Pool

Connection = sqlite3.Connection

_PATIENCE = 30.0
"""Seconds to wait for another process to finish writing."""
_TRIES = 1000
"""Rows one after the other that cannot be read, after which a damaged database is given up."""


class DiskFull(StoreError):
    """A transaction of which, for lack of room, surely nothing is left."""


class Database:
    """The database at `path`, made at the first write; `what` is what people call it.

    `application` and `version` in its header tell it from other databases and from newer ones; `mend`
    is the command to try, if there is one, when it is damaged.
    Every method raises StoreError when the file is another's, damaged, or the storage refuses.
    """

    def __init__(
        self, path: Path, *, what: str, application: int, version: int, schema: Sequence[str], mend: str | None = None
    ) -> None:
        self._path = path
        self._file = os.fspath(path)
        self._what = what
        self._application = application
        self._version = version
        self._schema = schema
        self._mend = mend
        self._ready = False
        self._found: tuple[int, int] | None = None
        """Which file it was when it was last looked at."""
        self._pool = Pool(self._connect)
        self._turn = threading.Lock()  # SQLite's own lock makes those who wait sleep

    def exists(self) -> bool:
        """Whether anything has ever been written."""
        return self._path.exists()

    def size(self) -> int:
        """Bytes in the file; 0 when there is none."""
        try:
            return os.stat(self._file).st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def make(self) -> None:
        """Make the database, unless it is there, and see whether it can be used."""
        if not self.exists():
            self._make_folder()
        with self.reading():
            pass

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with; works on a full or read-only disk too."""
        self._look()
        with self._told(), ExitStack() as held:
            try:
                connection = held.enter_context(self._pool.lend())
            except sqlite3.OperationalError as problem:
                if not self._is_at_rest(problem):
                    if self.exists() and is_read_only(self._path):
                        reason = "the disk is read-only, and some of what was written is beside the file still"
                        raise self._unusable(reason, hint=f"cp -r {self._path.parent} ...") from problem
                    raise
                connection = held.enter_context(closing(self._connect_at_rest()))
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """A connection in a transaction of its own, committed at the end of the block unless that raises.

        Durably, or, for what may as well be done again after a cut of power, without waiting for the disk.
        """
        self._make_folder()
        if not os.access(self._path.parent, os.W_OK):
            reason = os.strerror(errno.EROFS if is_read_only(self._path) else errno.EACCES)
            raise self._unusable(reason, hint=f"ls -ld {self._path.parent}")
        self._look()
        with self._told(), self._pool.lend() as connection, self._turn:  # closed, and so rolled back, if this raises
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def sync(self) -> None:
        """Wait until what was written without waiting is on the disk."""
        with self._told(), suppress(FileNotFoundError):  # no log: it has been moved into the database, durably
            sync_file(self._path.with_name(f"{self._path.name}-wal"))

    def close(self) -> None:
        """Let go of the file."""
        self._pool.close()

    def _look(self) -> None:
        """Open the file anew when it was deleted or replaced under our hands."""
        try:
            status = os.stat(self._file)
        except OSError:
            found = None
        else:
            found = (status.st_dev, status.st_ino)
        if found is None or found != self._found:
            self._ready = False
            self._pool.drop()
            self._found = found

    def _make_folder(self) -> None:
        try:
            make_folder(self._path.parent)
        except OSError as problem:
            raise self._unusable(problem.strerror or str(problem)) from problem

    def _connect(self) -> Connection:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            if not self._ready:
                self._prepare(connection)
                self._ready = True
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_at_rest(self, problem: sqlite3.Error) -> bool:
        """Whether the refusal was of the files that go with a write-ahead log, and the log is empty."""
        log = self._path.with_name(f"{self._path.name}-wal")
        codes = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_FULL", "SQLITE_IOERR")
        refused = problem.sqlite_errorname.startswith(codes)
        return refused and self._path.is_file() and not (log.exists() and log.stat().st_size)

    def _connect_at_rest(self) -> Connection:
        address = f"file:{quote(str(self._path))}?mode=ro&immutable=1"
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        self._check(connection)
        return connection

    def _prepare(self, connection: Connection) -> None:
        if _is_empty(connection):
            self._create(connection)
            sync_folder(self._path.parent)
        self._check(connection)

    def _check(self, connection: Connection) -> None:
        if _pragma(connection, "application_id") != self._application:
            hint = self._mend or f"mv {self._path} {self._path}.old"
            raise self._unusable("it is a database of something else", hint=hint, kind=DamagedObject)
        version = _pragma(connection, "user_version")
        if version < self._version:
            raise self._unusable("it was written by an early version", hint=f"mv {self._path} {self._path}.old")
        if version > self._version:
            raise self._unusable("it was written by a newer keepfit", hint="pip install --upgrade keepfit")

    def _create(self, connection: Connection) -> None:
        """Lay the database out, unless another process has done so meanwhile."""
        _write_ahead(connection)
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection):
            for statement in self._schema:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {self._application}")
            connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Put what SQLite says into the user's words."""
        try:
            yield
        except sqlite3.Error as problem:
            code = getattr(problem, "sqlite_errorname", "")
            hints = [hint for beginning, hint in _HINTS.items() if code.startswith(beginning)]
            hint = hints[0].format(path=self._path) if hints else None
            if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
                hint = self._mend or hint
            kind = _KINDS.get("_".join(code.split("_")[:2]), StoreError)
            raise self._unusable(str(problem), hint=hint, kind=kind) from problem

    def _unusable(self, reason: str, *, hint: str | None = None, kind: type[StoreError] = StoreError) -> StoreError:
        where = str(self._path.parent)
        return kind(f"cannot use {self._what} `{self._path.name}`: {reason}", where=where, hint=hint)


_KINDS: dict[str, type[StoreError]] = {
    "SQLITE_FULL": DiskFull,
    "SQLITE_CORRUPT": DamagedObject,
    "SQLITE_NOTADB": DamagedObject,
}
_HINTS = {
    "SQLITE_FULL": "df -h {path}",
    "SQLITE_IOERR": "df -h {path}",
    "SQLITE_READONLY": "ls -ld {path}",
    "SQLITE_CANTOPEN": "ls -ld {path}",
    "SQLITE_NOTADB": "mv {path} {path}.old",
    "SQLITE_CORRUPT": "sqlite3 {path} .recover",
    "SQLITE_BUSY": "fuser -v {path}",
}
"""What SQLite's codes begin with -> the command that helps."""


def salvage(path: Path, select: str) -> Iterator[tuple[Any, ...]]:
    """What can still be read of a damaged database, row by row; `select` gives those whose first value is above one."""
    last, failed = 0, 0
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            while failed < _TRIES:
                try:
                    row = connection.execute(f"{select} ORDER BY 1 LIMIT 1", (last,)).fetchone()
                except sqlite3.DatabaseError:
                    last, failed = last + 1, failed + 1
                    continue
                if row is None:
                    return
                last, failed = row[0], 0
                yield row
    except sqlite3.Error:
        return


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _is_empty(connection: Connection) -> bool:
    empty = not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    return empty and not _pragma(connection, "application_id") and not _pragma(connection, "user_version")


def _write_ahead(connection: Connection) -> None:
    """Switch to a write-ahead log; SQLite does not wait by itself when two processes do so at once."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as problem:
            if not problem.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
