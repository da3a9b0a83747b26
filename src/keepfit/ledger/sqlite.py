"""A ledger in one SQLite file, shared by the threads and processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from keepfit.core.errors import NameMoved, StoreError, UsageError
from keepfit.core.files import make_folder, sync_folder
from keepfit.ledger.fact import Fact, Move, Point, Query
from keepfit.ledger.group import Group, Work
from keepfit.ledger.pool import Pool
from keepfit.ledger.row import COLUMNS, Row, attributes_of, fact_of, link, point_of, point_row, row_of
from keepfit.ledger.select import count_ordered, select_page, select_rest

T = TypeVar("T")

_APPLICATION = 0x6B666974
"""`kfit`, in the header of the file: tells a ledger from any other database."""
_VERSION = 1
_PATIENCE = 30.0
"""Seconds to wait for another process to finish writing."""
_LAST = "\U0010ffff"
"""The last character there is: the end of the range of texts with a given beginning."""

_SCHEMA = f"""
CREATE TABLE fact (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, subject TEXT NOT NULL,
    time INTEGER NOT NULL, recorded INTEGER NOT NULL, actor TEXT NOT NULL,
    body TEXT NOT NULL, refs TEXT NOT NULL, attributes TEXT NOT NULL, chain TEXT NOT NULL);
CREATE INDEX fact_kind ON fact (kind);
CREATE INDEX fact_subject ON fact (subject, kind);
CREATE INDEX fact_time ON fact (kind, time);
CREATE TABLE attribute (
    seq INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, value NOT NULL,
    PRIMARY KEY (seq, name)) WITHOUT ROWID;
CREATE INDEX attribute_value ON attribute (name, kind, value, seq);
CREATE TABLE head (count INTEGER NOT NULL, chain TEXT NOT NULL);
INSERT INTO head VALUES (0, '');
CREATE TABLE name (name TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE point (
    series TEXT NOT NULL, step INTEGER NOT NULL, value REAL, time INTEGER NOT NULL,
    PRIMARY KEY (series, step)) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""


class SqliteLedger:
    """The ledger in the SQLite file at `path`, made when it is not there yet; see `Ledger` for what it promises.

    Every commit is synced to the disk before it is acknowledged, and shared by the threads that
    wait for one. StoreError when the file is not a ledger, or the storage refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._pool = Pool(self._connect)
        self._group = Group(self._commit)
        _OPEN.add(self)
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

    def name(self, name: str) -> str | None:
        with self._reading() as connection:
            found = connection.execute("SELECT id FROM name WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def names(self, prefix: str = "") -> dict[str, str]:
        select = "SELECT name, id FROM name WHERE name BETWEEN ? AND ? ORDER BY name"
        with self._reading() as connection:
            return dict(connection.execute(select, (prefix, prefix + _LAST)).fetchall())

    def record(self, series: str, points: Iterable[Point]) -> None:
        rows = [point_row(series, point) for point in points]
        self._write(lambda connection: connection.executemany("REPLACE INTO point VALUES (?, ?, ?, ?)", rows) and None)

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
        try:
            return self._group.run(apply)
        except sqlite3.Error as problem:
            raise self._refused(problem) from problem

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._pool.lend() as connection:
                yield connection
        except sqlite3.Error as problem:
            raise self._refused(problem) from problem

    def _commit(self, batch: Sequence[Work[sqlite3.Connection]]) -> None:
        with self._pool.lend() as connection:  # closed, and so rolled back, if this raises
            connection.execute("BEGIN IMMEDIATE")
            for work in batch:
                _attempt(connection, work)
            connection.execute("COMMIT")
