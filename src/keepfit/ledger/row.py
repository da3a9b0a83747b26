"""Facts as rows of a table, and the chain that binds each row to all before it. The same for every database."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from keepfit.core.clocks import utc
from keepfit.core.digests import canonical, digest_bytes
from keepfit.core.errors import UsageError
from keepfit.ledger.fact import Entry, Fact, Point

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BODY = msgspec.json.Decoder(dict[str, Any])
_REFS = msgspec.json.Decoder(dict[str, str])
_ATTRIBUTES = msgspec.json.Decoder(dict[str, float | str])


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
        canonical(row)
    except (TypeError, ValueError, OverflowError, RecursionError) as problem:
        raise UsageError(f"`{fact.id}` cannot be recorded: {problem}") from problem
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


def point_rows(series: str, points: Iterable[Point]) -> list[tuple[str, int, float, int]]:
    """Values of a series in columns; UsageError when they are not numbers."""
    try:
        return [(series, int(point.step), float(point.value), microseconds(point.time)) for point in points]
    except (TypeError, ValueError, OverflowError) as problem:
        raise UsageError(f"a value cannot be recorded in `{series}`: {problem}") from problem


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
