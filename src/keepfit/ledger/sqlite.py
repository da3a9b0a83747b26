"""A ledger in one SQLite file, shared by the threads and processes of one machine."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from keepfit.core.errors import StoreError, UsageError
from keepfit.core.files import make_folder, sync_folder
from keepfit.core.pool import Pool
from keepfit.ledger.dialect import Dialect, tables
from keepfit.ledger.row import COLUMNS, Row
from keepfit.ledger.select import Run, Sql
from keepfit.ledger.settle import Changes, State, Writes, asked, settle
from keepfit.ledger.table import TableLedger
from keepfit.ledger.verify import verify

T = TypeVar("T")

_APPLICATION = 0x6B666974
"""`kfit`, in the header of the file: tells a ledger from any other database."""
_VERSION = 2
_PATIENCE = 30.0
"""Seconds to wait for another process to finish writing."""
_DIALECT = Dialect(
    integer="INTEGER",
    real="REAL",
    text="TEXT",
    value="",  # of any type; SQLite sorts numbers before text
    key=lambda value: value,
    by_key="WITHOUT ROWID",
    walked="+",
)


class SqliteLedger(TableLedger):
    """The ledger in the SQLite file at `path`, made when it is not there yet; see `Ledger` for what it promises.

    Every commit is synced to the disk before it is acknowledged, and shared by the threads that
    wait for one. StoreError when the file is not a ledger, or the storage refuses.
    """

    dialect = _DIALECT

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path.absolute()
        self._pool = Pool(self._connect)
        try:
            make_folder(self._path.parent)
        except OSError as problem:
            raise self._unusable(problem.strerror or str(problem)) from problem
        with self._lent() as connection:
            self._prepare(connection)

    def verify(self) -> str | None:
        with self._lent() as connection, _transaction(connection):
            return _check_storage(connection) or verify(connection.execute, self.dialect)

    def close(self) -> None:
        self._pool.close()

    def _read(self, sql: Sql) -> list[Any]:
        with self._lent() as connection:
            return connection.execute(*sql).fetchall()

    def _together(self, read: Callable[[Run], T]) -> T:
        with self._lent() as connection, _transaction(connection):
            return read(lambda sql: connection.execute(*sql).fetchall())

    def _commit(self, writes: Writes) -> None:
        with self._lent() as connection, _transaction(connection, "IMMEDIATE"):
            _write(connection, settle(writes, _state(connection, *asked(writes))))

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        """A connection, closed and so rolled back if the block raises."""
        with self._told(), self._pool.lend() as connection:
            yield connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version, application = _pragma(connection, "user_version"), _pragma(connection, "application_id")
        if version == 0 and application == 0 and _is_empty(connection):
            _create(connection)
            sync_folder(self._path.parent)
        elif application != _APPLICATION:
            raise self._unusable("it is a database of something else", hint=f"mv {self._path} {self._path}.old")
        elif version < _VERSION:
            raise self._unusable("it was written by an early version", hint=f"mv {self._path} {self._path}.old")
        elif version > _VERSION:
            raise self._unusable("it was written by a newer keepfit", hint="pip install --upgrade keepfit")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Put what SQLite says into the user's words."""
        try:
            yield
        except sqlite3.Error as problem:
            code = getattr(problem, "sqlite_errorname", "")
            for beginning, hint in _HINTS.items():
                if code.startswith(beginning):
                    raise self._unusable(str(problem), hint=hint.format(path=self._path)) from problem
            raise self._unusable(str(problem)) from problem
        except (UnicodeEncodeError, OverflowError) as problem:
            raise UsageError(f"the ledger cannot hold this: {problem}") from problem

    def _unusable(self, reason: str, *, hint: str | None = None) -> StoreError:
        where = str(self._path.parent)
        return StoreError(f"cannot use the ledger `{self._path.name}`: {reason}", where=where, hint=hint)


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


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()


def _create(connection: sqlite3.Connection) -> None:
    """Lay the ledger out, unless another process has done so meanwhile."""
    _write_ahead(connection)
    connection.execute("BEGIN IMMEDIATE")
    if _is_empty(connection):
        for statement in tables(_DIALECT):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection) -> None:
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


@contextmanager
def _transaction(connection: sqlite3.Connection, way: str = "DEFERRED") -> Iterator[None]:
    """Let all statements of the block see the same facts, and what they write be committed as one."""
    connection.execute(f"BEGIN {way}")
    yield
    connection.execute("COMMIT")


def _state(connection: sqlite3.Connection, ids: list[str], names: list[str]) -> State:
    count, chain = connection.execute("SELECT count, chain FROM head").fetchone()
    among = "(SELECT value FROM json_each(?))"
    facts = connection.execute(f"SELECT {COLUMNS} FROM fact WHERE id IN {among}", (json.dumps(ids),))
    pointers = connection.execute(f"SELECT name, id FROM name WHERE name IN {among}", (json.dumps(names),))
    return State(count, chain, {row[0]: Row(*row) for row in facts}, dict(pointers))


def _write(connection: sqlite3.Connection, changes: Changes) -> None:
    if changes.facts:
        last = changes.facts[-1]
        connection.execute("UPDATE head SET count = ?, chain = ?", (last.seq, last.chain))
    many, marks = connection.executemany, ", ".join("?" * (3 + len(Row._fields)))
    many(f"INSERT INTO fact (seq, recorded, chain, {COLUMNS}) VALUES ({marks})", changes.fact_rows())
    many("INSERT INTO attribute VALUES (?, ?, ?, ?, ?)", changes.attribute_rows(_DIALECT.key))
    many("REPLACE INTO name VALUES (?, ?)", changes.names.items())
    many("REPLACE INTO point VALUES (?, ?, ?, ?)", changes.points.values())


def _check_storage(connection: sqlite3.Connection) -> str | None:
    problem = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return None if problem == "ok" else f"the file is damaged: {problem}"
