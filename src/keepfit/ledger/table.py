"""A ledger in the tables of an SQL database, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from keepfit.core.errors import UsageError
from keepfit.ledger.dialect import Dialect
from keepfit.ledger.fact import Entry, Fact, Move, Point, Query
from keepfit.ledger.group import Group
from keepfit.ledger.row import COLUMNS, Row, check_moves, entry_of, fact_of, point_of, point_rows, row_of
from keepfit.ledger.select import Run, Sql, find, select_history
from keepfit.ledger.settle import Write, Writes

T = TypeVar("T")

_LAST = "\U0010ffff"
"""The last character there is: the end of the range of texts with a given beginning."""


class TableLedger(ABC):
    """See `Ledger` for what it promises; a database has to say how it reads, and how it commits."""

    dialect: Dialect

    def __init__(self) -> None:
        self._group: Group[Write, list[Row]] = Group(self._commit)

    @abstractmethod
    def _read(self, sql: Sql) -> list[Any]:
        """The rows of one statement."""

    @abstractmethod
    def _together(self, read: Callable[[Run], T]) -> T:
        """What comes of statements that all see the same facts."""

    @abstractmethod
    def _commit(self, writes: Writes) -> None:
        """Settles the writes and makes what comes of them durable, in one transaction."""

    @abstractmethod
    def verify(self) -> str | None: ...

    @abstractmethod
    def close(self) -> None: ...

    def append(self, facts: Sequence[Fact], moves: Sequence[Move] = ()) -> list[Fact]:
        write = Write([row_of(fact) for fact in facts], check_moves(moves))
        return [fact_of(row) for row in self._group.run(write)]

    def get(self, id: str) -> Fact | None:
        select = f"SELECT {COLUMNS} FROM fact WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 2"
        rows = [Row(*values) for values in self._read(Sql(select, [id, id + _LAST]))]
        if len(rows) == 2 and rows[0].id != id:
            known = ", ".join(f"`{row.id}`" for row in rows)
            raise UsageError(f"`{id}` fits several facts", hint=f"write more of it: {known} ...")
        return fact_of(rows[0]) if rows else None

    def find(self, query: Query) -> list[Fact]:
        if query.order is None:
            found = find(self._read, query, self.dialect)
        else:
            found = self._together(lambda run: find(run, query, self.dialect))
        return [fact_of(Row(*values)) for values in found]

    def history(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        return [entry_of(*values) for values in self._read(select_history(after, limit))]

    def name(self, name: str) -> str | None:
        found = self._read(Sql("SELECT id FROM name WHERE name = ?", [name]))
        return found[0][0] if found else None

    def names(self, prefix: str = "") -> dict[str, str]:
        select = "SELECT name, id FROM name WHERE name BETWEEN ? AND ? ORDER BY name"
        return dict(self._read(Sql(select, [prefix, prefix + _LAST])))

    def record(self, series: str, points: Iterable[Point]) -> None:
        self._group.run(Write(points=point_rows(series, points)))

    def points(self, series: str) -> list[Point]:
        select = "SELECT step, value, time FROM point WHERE series = ? ORDER BY step"
        return [point_of(*values) for values in self._read(Sql(select, [series]))]
