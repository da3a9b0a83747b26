"""A ledger in one SQLite file, shared by the threads and processes of one machine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from keepfit.core.errors import NameMoved, StoreError, UsageError
from keepfit.core.files import make_folder, sync_folder
from keepfit.ledger.fact import Entry, Fact, Move, Point, Query
from keepfit.ledger.group import Group, Work
from keepfit.ledger.pool import Pool
from keepfit.ledger.row import COLUMNS, Row, attributes_of, entry_of, fact_of, link, point_of, point_rows, row_of
from keepfit.ledger.select import count_ordered, select_history, select_page, select_rest

T = TypeVar("T")

_APPLICATION = 0x6B666974
"""`kfit`, in the header of the file: tells a ledger from any other database."""
_VERSION = 1
_PATIENCE = 30.0
"""Seconds to wait for another process to finish writing."""
_LAST = "\U0010ffff"
"""The last character there is: the end of the range of texts with a given beginning."""

_SCHEMA = (
    """CREATE TABLE fact (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, subject TEXT NOT NULL,
    time INTEGER NOT NULL, recorded INTEGER NOT NULL, actor TEXT NOT NULL,
    body TEXT NOT NULL, refs TEXT NOT NULL, attributes TEXT NOT NULL, chain TEXT NOT NULL)""",
    "CREATE INDEX fact_kind ON fact (kind)",
    "CREATE INDEX fact_subject ON fact (subject, kind)",
    "CREATE INDEX fact_time ON fact (kind, time)",
    """CREATE TABLE attribute (
    seq INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, value NOT NULL,
    PRIMARY KEY (seq, name)) WITHOUT ROWID""",
    "CREATE INDEX attribute_value ON attribute (name, kind, value, seq)",
    "CREATE TABLE head (count INTEGER NOT NULL, chain TEXT NOT NULL)",
    "INSERT INTO head VALUES (0, '')",
    "CREATE TABLE name (name TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE point (
    series TEXT NOT NULL, step INTEGER NOT NULL, value REAL, time INTEGER NOT NULL,
    PRIMARY KEY (series, step)) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)


class SqliteLedger:
    """The ledger in the SQLite file at `path`, made when it is not there yet; see `Ledger` for what it promises.

    Every commit is synced to the disk before it is acknowledged, and shared by the threads that
    wait for one. StoreError when the file is not a ledger, or the storage refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._pool = Pool(self._connect)
        self._group = Group(self._commit)
        try:
            make_folder(self._path.parent)
        except OSError as problem:
            raise self._unusable(problem.strerror or str(problem)) from problem
        with self._reading() as connection:
            self._prepare(connection)

    def append(self, facts: Sequence[Fact], moves: Sequence[Move] = ()) -> list[Fact]:
        rows = [row_of(fact) for fact in facts]
        moves = list(moves)
        return [fact_of(row) for row in self._write(lambda connection: _append(connection, rows, moves))]

    def get(self, id: str) -> Fact | None:
        select = f"SELECT {COLUMNS} FROM fact WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 2"
        with self._reading() as connection:
            rows = [Row(*values) for values in connection.execute(select, (id, id + _LAST)).fetchall()]
        if len(rows) == 2 and rows[0].id != id:
            known = ", ".join(f"`{row.id}`" for row in rows)
            raise UsageError(f"`{id}` fits several facts", hint=f"write more of it: {known} ...")
        return fact_of(rows[0]) if rows else None

    def find(self, query: Query) -> list[Fact]:
        with self._reading() as connection, _snapshot(connection):
            found = connection.execute(*select_page(query)).fetchall()
            if query.order is not None and len(found) < query.limit:
                having = connection.execute(*count_ordered(query, query.order)).fetchone()[0]
                limit, offset = query.limit - len(found), max(0, query.offset - having)
                found += connection.execute(*select_rest(query, query.order, limit=limit, offset=offset)).fetchall()
        return [fact_of(Row(*values)) for values in found]

    def history(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        with self._reading() as connection:
            return [entry_of(*values) for values in connection.execute(*select_history(after, limit)).fetchall()]

    def name(self, name: str) -> str | None:
        with self._reading() as connection:
            found = connection.execute("SELECT id FROM name WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def names(self, prefix: str = "") -> dict[str, str]:
        select = "SELECT name, id FROM name WHERE name BETWEEN ? AND ? ORDER BY name"
        with self._reading() as connection:
            return dict(connection.execute(select, (prefix, prefix + _LAST)).fetchall())

    def record(self, series: str, points: Iterable[Point]) -> None:
        rows = point_rows(series, points)
        self._write(lambda connection: _record(connection, rows))

    def points(self, series: str) -> list[Point]:
        select = "SELECT step, value, time FROM point WHERE series = ? ORDER BY step"
        with self._reading() as connection:
            return [point_of(*values) for values in connection.execute(select, (series,)).fetchall()]

    def verify(self) -> str | None:
        with self._reading() as connection, _snapshot(connection):
            return _check_storage(connection) or _check_chain(connection) or _check_names(connection)

    def close(self) -> None:
        self._pool.close()

    def _write(self, apply: Callable[[sqlite3.Connection], T]) -> T:
        with self._told():
            return self._group.run(apply)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._told(), self._pool.lend() as connection:
            yield connection

    def _commit(self, batch: Sequence[Work[sqlite3.Connection]]) -> None:
        with self._pool.lend() as connection:  # closed, and so rolled back, if this raises
            connection.execute("BEGIN IMMEDIATE")
            for work in batch:
                _attempt(connection, work)
            connection.execute("COMMIT")

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
        for statement in _SCHEMA:
            connection.execute(statement)
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
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Let all reads of the block see the same facts."""
    connection.execute("BEGIN")
    yield
    connection.execute("COMMIT")


def _attempt(connection: sqlite3.Connection, work: Work[sqlite3.Connection]) -> None:
    """Do one caller's work, or none of it; what the storage refuses counts for the whole commit."""
    connection.execute("SAVEPOINT work")
    try:
        work.result = work.apply(connection)
    except sqlite3.Error:
        raise
    except Exception as problem:
        work.error = problem
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")


def _append(connection: sqlite3.Connection, rows: Sequence[Row], moves: Sequence[Move]) -> list[Row]:
    before, chain = connection.execute("SELECT count, chain FROM head").fetchone()
    count, recorded, held = before, time.time_ns() // 1000, dict[str, Row]()
    for row in rows:
        if row.id in held:
            continue
        if known := connection.execute(f"SELECT {COLUMNS} FROM fact WHERE id = ?", (row.id,)).fetchone():
            held[row.id] = Row(*known)
            continue
        count += 1
        chain = link(chain, count, recorded, row)
        _insert(connection, count, recorded, row, chain)
        held[row.id] = row
    if count > before:
        connection.execute("UPDATE head SET count = ?, chain = ?", (count, chain))
    for move in moves:
        _move(connection, move)
    return [held[row.id] for row in rows]


def _insert(connection: sqlite3.Connection, seq: int, recorded: int, row: Row, chain: str) -> None:
    columns = f"seq, recorded, chain, {COLUMNS}"
    marks = ", ".join("?" * (3 + len(row)))
    connection.execute(f"INSERT INTO fact ({columns}) VALUES ({marks})", (seq, recorded, chain, *row))
    attributes = [(seq, name, row.kind, value) for name, value in attributes_of(row).items()]
    connection.executemany("INSERT INTO attribute VALUES (?, ?, ?, ?)", attributes)


def _move(connection: sqlite3.Connection, move: Move) -> None:
    found = connection.execute("SELECT id FROM name WHERE name = ?", (move.name,)).fetchone()
    held = found[0] if found else None
    if held != move.old:
        at, expected = (f"at `{id}`" if id else "nowhere" for id in (held, move.old))
        message = f"`{move.name}` points {at}, no longer {expected}"
        raise NameMoved(message, hint="someone else moved it first: look at it again, then repeat the command")
    if not connection.execute("SELECT 1 FROM fact WHERE id = ?", (move.new,)).fetchone():
        raise UsageError(f"`{move.name}` cannot point at `{move.new}`: the ledger holds no such fact")
    connection.execute("REPLACE INTO name VALUES (?, ?)", (move.name, move.new))


def _record(connection: sqlite3.Connection, rows: Sequence[tuple[str, int, float, int]]) -> None:
    connection.executemany("REPLACE INTO point VALUES (?, ?, ?, ?)", rows)


def _check_storage(connection: sqlite3.Connection) -> str | None:
    problem = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return None if problem == "ok" else f"the file is damaged: {problem}"


def _check_chain(connection: sqlite3.Connection) -> str | None:
    count, chain, attributes = 0, "", 0
    for seq, recorded, kept, *values in connection.execute(
        f"SELECT seq, recorded, chain, {COLUMNS} FROM fact ORDER BY seq"
    ):
        count, row = count + 1, Row(*values)
        if seq != count:
            return f"fact number {count} is missing"
        chain = link(chain, seq, recorded, row)
        if chain != kept:
            return f"fact number {seq}, `{row.id}`, has been altered"
        indexed = connection.execute("SELECT name, kind, value FROM attribute WHERE seq = ?", (seq,)).fetchall()
        if sorted(indexed) != sorted((name, row.kind, value) for name, value in attributes_of(row).items()):
            return f"the attributes of fact number {seq}, `{row.id}`, have been altered"
        attributes += len(indexed)
    if attributes != connection.execute("SELECT count(*) FROM attribute").fetchone()[0]:
        return "there are attributes that belong to no fact"
    if connection.execute("SELECT count, chain FROM head").fetchall() != [(count, chain)]:
        return f"the ledger ends at fact number {count}, but that is not the last that was recorded"
    return None


def _check_names(connection: sqlite3.Connection) -> str | None:
    select = "SELECT name, id FROM name WHERE id NOT IN (SELECT id FROM fact) LIMIT 1"
    if found := connection.execute(select).fetchone():
        return f"`{found[0]}` points at `{found[1]}`, which is not in the ledger"
    return None
