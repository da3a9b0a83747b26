"""Facts as rows of a table, and the chain that binds each row to all before it. The same for every database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from keepfit.core.clocks import utc
from keepfit.core.digests import canonical, digest_bytes
from keepfit.core.errors import UsageError
from keepfit.ledger.fact import Entry, Fact, Move, Point

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BODY = msgspec.json.Decoder(dict[str, Any])
_REFS = msgspec.json.Decoder(dict[str, str])
_LONGEST = 500
"""Bytes of a text that has a place in an index; the smallest page of an index holds three such."""
_ATTRIBUTES = msgspec.json.Decoder(dict[str, float | str])


PointRow = tuple[str, int, float, int]
"""A value of a series in columns: series, step, value, time."""


class Row(NamedTuple):
    """A fact in columns; dictionaries as JSON text, times as microseconds since 1970 UTC."""

    id: str
    kind: str
    subject: str
    time: int
    actor: str
    body: str
    refs: str
    attributes: str


COLUMNS = ", ".join(Row._fields)


def row_of(fact: Fact) -> Row:
    """The fact in columns; UsageError when something in it cannot be kept."""
    try:
        attributes = {name: scalar(value) for name, value in fact.attributes.items()}
        texts = (msgspec.json.encode(part).decode() for part in (fact.body, fact.refs, attributes))
        row = Row(fact.id, fact.kind, fact.subject, microseconds(fact.time), fact.actor, *texts)
        _check(fact.id, fact.kind, fact.subject, *attributes)
        _check(fact.actor, *(value for value in attributes.values() if isinstance(value, str)), most=None)
    except (TypeError, ValueError, OverflowError, RecursionError) as problem:
        raise UsageError(f"`{_shown(fact.id)}` cannot be recorded: {problem}") from problem
    return row


def fact_of(row: Row) -> Fact:
    """The fact that a row holds."""
    return Fact(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        time=moment(row.time),
        actor=row.actor,
        body=_BODY.decode(row.body),
        refs=_REFS.decode(row.refs),
        attributes=attributes_of(row),
    )


def entry_of(number: int, recorded: int, chain: str, *values: Any) -> Entry:
    """The fact that a row holds, and its place in the ledger."""
    return Entry(number, moment(recorded), chain, fact_of(Row(*values)))


def attributes_of(row: Row) -> dict[str, float | str]:
    """The attributes of the fact that a row holds."""
    return _ATTRIBUTES.decode(row.attributes)


def link(chain: str, number: int, recorded: int, row: Row) -> str:
    """The chain after one more fact: the digest of the chain so far and of all that is kept of the fact."""
    return digest_bytes(chain.encode() + canonical([number, recorded, *row]))


def check_moves(moves: Sequence[Move]) -> list[Move]:
    """The moves; UsageError when a name cannot be kept."""
    for move in moves:
        try:
            _check(move.name)
        except (TypeError, ValueError) as problem:
            raise UsageError(f"`{_shown(move.name)}` cannot be a name: {problem}") from problem
    return list(moves)


def point_rows(series: str, points: Iterable[Point]) -> list[PointRow]:
    """Values of a series in columns; UsageError when they are not numbers."""
    try:
        _check(series)
        return [(series, _step(point.step), float(point.value), microseconds(point.time)) for point in points]
    except (TypeError, ValueError, OverflowError) as problem:
        raise UsageError(f"a value cannot be recorded in `{_shown(series)}`: {problem}") from problem


def point_of(step: int, value: float | None, time: int) -> Point:
    """The value of a series that columns hold; SQL knows no NaN, only its absence."""
    return Point(step, math.nan if value is None else value, moment(time))


def scalar(value: float | str) -> float | str:
    """An attribute's value as it is kept; ValueError for a number that has no place in an order."""
    if isinstance(value, str):
        return str(value)
    if not math.isfinite(number := float(value)):
        raise ValueError(f"an attribute cannot be {number}")
    return number


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    return ((time if time.tzinfo is UTC else utc(time)) - _EPOCH) // _MICROSECOND


def moment(micro: int) -> datetime:
    """The time that so many microseconds since 1970 UTC are."""
    return _EPOCH + micro * _MICROSECOND


def _check(*texts: str, most: int | None = _LONGEST) -> None:
    """ValueError when a text cannot be kept, or found again, in every database."""
    for text in texts:
        size = len(text.encode())
        if "\0" in text:
            raise ValueError("a text holds a NUL character")
        if most is not None and size > most:
            raise ValueError(f"`{_shown(text)}` is longer than {most} bytes")


def _step(step: int) -> int:
    if not -(2**63) <= (number := int(step)) < 2**63:
        raise ValueError(f"step {step} has more than 64 bits")
    return number


def _shown(text: object) -> str:
    """A text as it can be shown in a line."""
    line = str(text).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return line if len(line) <= 60 else line[:57] + "..."
