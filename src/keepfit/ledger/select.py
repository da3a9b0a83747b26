"""From a query to SQL: filters, order and page are left to the database.

The tables are `fact` and `attribute` (seq, name, kind, value), where numbers sort before text
in `value`, each kind of value in its own order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from keepfit.core.errors import UsageError
from keepfit.ledger.fact import Query, Where
from keepfit.ledger.row import COLUMNS, microseconds, scalar

_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")


class Sql(NamedTuple):
    """A statement and the values for its question marks."""

    text: str
    values: list[float | str]


def select_page(query: Query) -> Sql:
    """Reads the page of facts that match; with an order, of those that have the attribute."""
    parts, way = _matching(query), "DESC" if query.descending else "ASC"
    if query.order is None:
        # an equality's index is in sequence: no sort, and it may stop after a page
        walked = next((f"w{number}" for number, where in enumerate(query.where) if where.is_ == "="), "f")
        return _page(parts, f"{walked}.seq AS seq", f"seq {way}", query.limit, query.offset)
    parts.join("o", query.order, query.kind)
    return _page(parts, "o.seq AS seq, o.value AS value", f"value {way}, seq DESC", query.limit, query.offset)


def select_history(after: int, limit: int) -> Sql:
    """Reads the facts with a sequence number above `after`, and what binds them to those before."""
    if limit < 0:
        raise UsageError(f"a page cannot have limit {limit}")
    text = f"SELECT seq, recorded, chain, {COLUMNS} FROM fact WHERE seq > ? ORDER BY seq LIMIT ?"
    return Sql(text, [after, limit])


def select_rest(query: Query, order: str, *, limit: int, offset: int) -> Sql:
    """Reads a page of the facts that match but lack the attribute to order by, newest first."""
    parts = _matching(query)
    parts.add("NOT EXISTS (SELECT 1 FROM attribute o WHERE o.seq = f.seq AND o.name = ?)", order)
    return _page(parts, "f.seq AS seq", "seq DESC", limit, offset)


def count_ordered(query: Query, order: str) -> Sql:
    """Counts the facts that match and have the attribute to order by."""
    parts = _matching(query)
    parts.join("o", order, query.kind)
    return Sql(f"SELECT count(*) FROM {parts}", parts.values)


@dataclass
class _Parts:
    """The tables and conditions of a statement under construction."""

    tables: list[str] = field(default_factory=lambda: ["fact f"])
    conditions: list[str] = field(default_factory=lambda: ["true"])
    values: list[float | str] = field(default_factory=list)

    def add(self, condition: str, *values: float | str) -> None:
        self.conditions.append(condition)
        self.values += values

    def join(self, alias: str, name: str, kind: str | None) -> None:
        self.tables.append(f"attribute {alias}")
        self.add(f"{alias}.seq = f.seq AND {alias}.name = ?", name)
        if kind is not None:  # true anyway, but the index begins with name and kind
            self.add(f"{alias}.kind = ?", kind)

    def __str__(self) -> str:
        return f"{', '.join(self.tables)} WHERE {' AND '.join(self.conditions)}"


def _matching(query: Query) -> _Parts:
    parts = _Parts()
    if query.kind is not None:
        parts.add("f.kind = ?", query.kind)
    if query.subject is not None:
        parts.add("f.subject = ?", query.subject)
    if query.since is not None:
        parts.add("f.time >= ?", microseconds(query.since))
    if query.until is not None:
        parts.add("f.time < ?", microseconds(query.until))
    for number, where in enumerate(query.where):
        _compare(parts, f"w{number}", where, query)
    return parts


def _compare(parts: _Parts, alias: str, where: Where, query: Query) -> None:
    if where.is_ not in _COMPARISONS:
        raise UsageError(f"`{where.is_}` is not a comparison", hint=f"write one of {' '.join(_COMPARISONS)}")
    try:
        value = scalar(where.value)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"`{where.attribute}` cannot be compared with `{where.value}`: {problem}") from problem
    parts.join(alias, where.attribute, query.kind)
    if where.is_ == "=":
        parts.add(f"{alias}.value = ?", value)
        return
    # the plus keeps SQLite from walking this range: walking the order, it may stop after a page
    held = f"{alias}.value" if query.order is None else f"+{alias}.value"
    # numbers are below the empty text, texts are not: a value only compares with its own kind
    own_kind = ">=" if isinstance(value, str) else "<"
    parts.add(f"{held} {where.is_} ? AND {held} {own_kind} ''", value)


def _page(parts: _Parts, columns: str, order: str, limit: int, offset: int) -> Sql:
    """Picks by sequence number first, so that what must be sorted is small, then reads the facts."""
    if limit < 0 or offset < 0:
        raise UsageError(f"a page cannot have limit {limit} and offset {offset}")
    picked = f"SELECT {columns} FROM {parts} ORDER BY {order} LIMIT ? OFFSET ?"
    text = f"SELECT {COLUMNS} FROM ({picked}) AS page JOIN fact USING (seq) ORDER BY {order}"
    return Sql(text, [*parts.values, limit, offset])
