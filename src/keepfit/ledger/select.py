"""From a query to SQL: filters, order and page are left to the database.

The tables are those of `dialect.tables`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from keepfit.core.errors import UsageError
from keepfit.ledger.dialect import Dialect
from keepfit.ledger.fact import Combined, Query, Where
from keepfit.ledger.row import COLUMNS, microseconds, scalar

_JOINED = 10
"""Conditions, at most, whose tables are joined: what a page is walked by is chosen among these."""
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=", "like")


class Sql(NamedTuple):
    """A statement and the values for its question marks."""

    text: str
    values: list[Any]


Run = Callable[[Sql], list[Any]]
"""Gives the rows of a statement."""


def find(run: Run, query: Query, dialect: Dialect) -> list[Any]:
    """The rows of the facts that match; what is run must see the same facts each time."""
    found = run(select_page(query, dialect))
    if query.order is None or len(found) >= query.limit:
        return found
    before = len(found) + query.offset  # of those that have the attribute
    if not found and query.offset:
        before = run(count_ordered(query, query.order, dialect))[0][0]
    limit, offset = query.limit - len(found), max(0, query.offset - before)
    return found + run(select_rest(query, query.order, dialect, limit=limit, offset=offset))


def select_page(query: Query, dialect: Dialect) -> Sql:
    """Reads the page of facts that match; with an order, of those that have the attribute."""
    parts, way = _matching(query, dialect, query.order), "DESC" if query.descending else "ASC"
    if query.order is None:
        return _page(parts, f"{parts.first}.seq AS seq", f"seq {way}", query.limit, query.offset)
    return _page(parts, "o.seq AS seq, o.value AS value", f"value {way}, seq DESC", query.limit, query.offset)


def select_history(after: int, limit: int) -> Sql:
    """Reads the facts with a sequence number above `after`, and what binds them to those before."""
    if limit < 0:
        raise UsageError(f"a page cannot have limit {limit}")
    text = f"SELECT seq, recorded, chain, {COLUMNS} FROM fact WHERE seq > ? ORDER BY seq LIMIT ?"
    return Sql(text, [after, limit])


def select_rest(query: Query, order: str, dialect: Dialect, *, limit: int, offset: int) -> Sql:
    """Reads a page of the facts that match but lack the attribute to order by, newest first."""
    parts = _matching(query, dialect)
    parts.add(f"NOT EXISTS (SELECT 1 FROM attribute o WHERE o.seq = {parts.first}.seq AND o.name = ?)", order)
    return _page(parts, f"{parts.first}.seq AS seq", "seq DESC", limit, offset)


def count_ordered(query: Query, order: str, dialect: Dialect) -> Sql:
    """Counts the facts that match and have the attribute to order by."""
    parts = _matching(query, dialect, order)
    return Sql(f"SELECT count(*) FROM {parts}", parts.values)


@dataclass
class _Parts:
    """The tables and conditions of a statement under construction; all tables are joined to the first."""

    tables: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=lambda: ["true"])
    values: list[Any] = field(default_factory=list)
    first: str = ""

    def join(self, table: str, alias: str) -> None:
        self.tables.append(f"{table} {alias}")
        if self.first:
            self.add(f"{alias}.seq = {self.first}.seq")
        self.first = self.first or alias

    def add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values += values

    def __str__(self) -> str:
        return f"{', '.join(self.tables)} WHERE {' AND '.join(self.conditions)}"


def _matching(query: Query, dialect: Dialect, order: str | None = None) -> _Parts:
    """First what a page is walked by: the order, else an equality, whose index is in sequence, else a range."""
    parts = _Parts()
    if order is not None:
        parts.join("attribute", "o")
        parts.add("o.name = ?", order)
        _add_kind(parts, "o", query)
    simple = sorted((w for w in query.where if isinstance(w, Where)), key=lambda where: where.is_ != "=")
    for number, where in enumerate(simple[:_JOINED]):
        parts.join("attribute", f"w{number}")
        parts.add(*_compare(f"w{number}", where, dialect, aside=order is not None))
        _add_kind(parts, f"w{number}", query)
    if not parts.first or query.since is not None or query.until is not None:
        parts.join("fact", "f")
        _add_kind(parts, "f", query)
    others: list[Where | Combined] = [*simple[_JOINED:], *(c for c in query.where if isinstance(c, Combined))]
    for condition in others:
        parts.add(*_met(parts.first, condition, dialect))
    if query.subject is not None:
        parts.add(f"{parts.first}.subject = ?", query.subject)
    if query.since is not None:
        parts.add("f.time >= ?", microseconds(query.since))
    if query.until is not None:
        parts.add("f.time < ?", microseconds(query.until))
    return parts


def _add_kind(parts: _Parts, alias: str, query: Query) -> None:
    if query.kind is not None:  # of every table, though one would do: their indexes begin with it
        parts.add(f"{alias}.kind = ?", query.kind)


def _met(fact: str, condition: Where | Combined, dialect: Dialect) -> list[Any]:
    """That a fact meets a condition, and the values for its question marks."""
    if isinstance(condition, Where):
        text, *values = _compare("x", condition, dialect)
        return [f"EXISTS (SELECT 1 FROM attribute x WHERE x.seq = {fact}.seq AND {text})", *values]
    each = [_met(fact, one, dialect) for one in condition.conditions]
    texts, values = [text for text, *_ in each], [value for _, *some in each for value in some]
    if condition.is_ == "all":
        return [f"({' AND '.join(['true', *texts])})", *values]
    return [f"{'NOT ' if condition.is_ == 'none' else ''}({' OR '.join(['false', *texts])})", *values]


def _compare(alias: str, where: Where, dialect: Dialect, *, aside: bool = False) -> list[Any]:
    if where.is_ not in _COMPARISONS:
        raise UsageError(f"`{where.is_}` is not a comparison", hint=f"write one of {' '.join(_COMPARISONS)}")
    try:
        value, key = scalar(where.value), dialect.key
    except (TypeError, ValueError) as problem:
        raise UsageError(f"`{where.attribute}` cannot be compared with `{where.value}`: {problem}") from problem
    named = f"{alias}.name = ? AND "
    if where.is_ == "=":
        return [f"{named}{alias}.value = ?", where.attribute, key(value)]
    if where.is_ == "like":
        if not isinstance(value, str) or "\0" in value:
            raise UsageError(f"`{where.attribute}` is like a text", hint="write NAME like 'begins with%'")
        text, pattern = dialect.like(alias, value)
        return [named + text, where.attribute, pattern]
    # an order is walked instead of this range: it may stop after a page
    held = f"{dialect.walked if aside else ''}{alias}.value"
    # numbers are below the empty text, texts are not: a value only compares with its own kind
    own_kind = ">=" if isinstance(value, str) else "<"
    return [f"{named}{held} {where.is_} ? AND {held} {own_kind} ?", where.attribute, key(value), key("")]


def _page(parts: _Parts, columns: str, order: str, limit: int, offset: int) -> Sql:
    """Picks by sequence number first, so that what must be sorted is small, then reads the facts."""
    if limit < 0 or offset < 0:
        raise UsageError(f"a page cannot have limit {limit} and offset {offset}")
    picked = f"SELECT {columns} FROM {parts} ORDER BY {order} LIMIT ? OFFSET ?"
    text = f"SELECT {COLUMNS} FROM ({picked}) AS page JOIN fact USING (seq) ORDER BY {order}"
    return Sql(text, [*parts.values, limit, offset])
