"""A ledger in one SQLite file, shared by the threads and processes of one machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from keepfit.core.errors import UsageError
from keepfit.core.sqlite import Connection, Database
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
_GLOBS = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}


def _glob(character: str) -> str:
    return _GLOBS.get(character, character)


_DIALECT = Dialect(
    integer="INTEGER",
    real="REAL",
    text="TEXT",
    value="",  # of any type; SQLite sorts numbers before text
    key=lambda value: value,
    like=lambda table, pattern: (f"{table}.value >= '' AND {table}.value GLOB ?", "".join(map(_glob, pattern))),
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
        self._database = Database(
            path.absolute(), what="the ledger", application=_APPLICATION, version=_VERSION, schema=tables(_DIALECT)
        )
        self._database.make()

    def verify(self) -> str | None:
        with self._lent() as connection, _transaction(connection):
            return _check_storage(connection) or verify(connection.execute, self.dialect)

    def close(self) -> None:
        self._database.close()

    def _read(self, sql: Sql) -> list[Any]:
        with self._lent() as connection:
            return connection.execute(*sql).fetchall()

    def _together(self, read: Callable[[Run], T]) -> T:
        with self._lent() as connection, _transaction(connection):
            return read(lambda sql: connection.execute(*sql).fetchall())

    def _commit(self, writes: Writes) -> None:
        with _holdable(), self._database.writing() as connection:
            _write(connection, settle(writes, _state(connection, *asked(writes))))

    @contextmanager
    def _lent(self) -> Iterator[Connection]:
        with _holdable(), self._database.reading() as connection:
            yield connection


@contextmanager
def _holdable() -> Iterator[None]:
    """Tell of values that no database can hold in the user's words."""
    try:
        yield
    except (UnicodeEncodeError, OverflowError) as problem:
        raise UsageError(f"the ledger cannot hold this: {problem}") from problem


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """Let all statements of the block see the same facts."""
    connection.execute("BEGIN")
    yield
    connection.execute("COMMIT")


def _state(connection: Connection, ids: list[str], names: list[str]) -> State:
    count, chain = connection.execute("SELECT count, chain FROM head").fetchone()
    among = "(SELECT value FROM json_each(?))"
    facts = connection.execute(f"SELECT {COLUMNS} FROM fact WHERE id IN {among}", (json.dumps(ids),))
    pointers = connection.execute(f"SELECT name, id FROM name WHERE name IN {among}", (json.dumps(names),))
    return State(count, chain, {row[0]: Row(*row) for row in facts}, dict(pointers))


def _write(connection: Connection, changes: Changes) -> None:
    if changes.facts:
        last = changes.facts[-1]
        connection.execute("UPDATE head SET count = ?, chain = ?", (last.seq, last.chain))
    many, marks = connection.executemany, ", ".join("?" * (3 + len(Row._fields)))
    many(f"INSERT INTO fact (seq, recorded, chain, {COLUMNS}) VALUES ({marks})", changes.fact_rows())
    many("INSERT INTO attribute VALUES (?, ?, ?, ?, ?)", changes.attribute_rows(_DIALECT.key))
    many("REPLACE INTO name VALUES (?, ?)", changes.names.items())
    many("REPLACE INTO point VALUES (?, ?, ?, ?)", changes.points.values())


def _check_storage(connection: Connection) -> str | None:
    problem = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return None if problem == "ok" else f"the file is damaged: {problem}"
