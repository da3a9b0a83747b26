"""Facts, names, queries, and what a ledger promises."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from keepfit.core.digests import digest_value

Comparison = Literal["=", "!=", "<", "<=", ">", ">=", "like"]


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, never changed afterwards."""

    id: str
    kind: str
    subject: str
    time: datetime
    """When it happened on the loop's clock (a replay's facts carry replayed time)."""
    actor: str = ""
    body: dict[str, Any] = {}
    refs: dict[str, str] = {}
    """Role -> fact id or object digest this fact rests on."""
    attributes: dict[str, float | str] = {}
    """What `find` may filter and order by; numbers are finite."""


def fact(
    kind: str,
    subject: str,
    *,
    time: datetime,
    key: object = None,
    actor: str = "",
    body: Mapping[str, Any] | None = None,
    refs: Mapping[str, str] | None = None,
    attributes: Mapping[str, float | str] | None = None,
) -> Fact:
    """A fact whose id follows from `key` (by default from everything in it).

    Two writers with the same kind and key make the same id, so doing a thing again after a
    crash records it once. A number that is not finite has no place in an order: it is left out
    of the attributes.
    """
    content = key if key is not None else [subject, time, actor, body, refs, attributes]
    return Fact(
        id=fact_id(kind, content),
        kind=kind,
        subject=subject,
        time=time,
        actor=actor,
        body=dict(body or {}),
        refs=dict(refs or {}),
        attributes={n: v for n, v in (attributes or {}).items() if isinstance(v, str) or math.isfinite(v)},
    )


def fact_id(kind: str, key: object) -> str:
    """The id that `fact` gives to this kind and key."""
    return f"{kind}-{digest_value([kind, key])[:16]}"


class Move(msgspec.Struct, frozen=True):
    """Point a name at a fact, if it still points where the mover last saw it (None: it did not exist)."""

    name: str
    old: str | None
    new: str


class Where(msgspec.Struct, frozen=True):
    """A condition on an indexed attribute: met by facts that have it, as a number if `value` is one, else as text.

    `like` compares the whole text with a pattern: `%` is any text, `_` any character, capitals matter.
    """

    attribute: str
    is_: Comparison
    value: float | str


class Combined(msgspec.Struct, frozen=True):
    """Conditions as one: met by a fact that meets all, any or none of them."""

    is_: Literal["all", "any", "none"]
    conditions: tuple[Where | Combined, ...]


class Entry(msgspec.Struct, frozen=True):
    """A fact and its place in the ledger."""

    number: int
    """1 for the first fact that was recorded, one more for each that follows; no number is left out."""
    recorded: datetime
    """When it was written, on the clock of the machine that did."""
    chain: str
    """The digest of this fact and all before it: equal in two ledgers if they hold the same facts up to here."""
    fact: Fact


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which facts, in which order.

    Newest appended first, or oldest first when not `descending`. With `order`, by that
    attribute: numbers below text, ties newest first, and facts that lack it last.
    """

    kind: str | None = None
    subject: str | None = None
    where: tuple[Where | Combined, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    """Facts with `since <= time < until`."""
    order: str | None = None
    descending: bool = True
    limit: int = 100
    offset: int = 0


class Point(msgspec.Struct, frozen=True):
    """One value of a metric series."""

    step: int
    value: float
    time: datetime


class Ledger(Protocol):
    """Append-only facts and movable names. Safe to share between threads and processes.

    A fact comes back as JSON holds it: tuples as lists, numbers that are not finite as None.

    Whatever has been acknowledged survives a crash of the process and of the machine. Every
    method raises StoreError when the storage refuses; nothing is then half done.
    """

    def append(self, facts: Sequence[Fact], moves: Sequence[Move] = ()) -> list[Fact]:
        """Record facts and move names, all or nothing; gives back what the ledger now holds under each id.

        A fact whose id is already there is left as it is, and the older one is given back.
        Raises, having recorded nothing, NameMoved when a name is not where `old` says, and
        UsageError when it would point at no fact, or when a fact holds what JSON cannot.
        """
        ...

    def get(self, id: str) -> Fact | None:
        """The fact with this id, or the only one whose id begins with it; None when there is none.

        Raises UsageError when a shortened id fits several facts.
        """
        ...

    def find(self, query: Query) -> list[Fact]:
        """The facts that match, filtered, ordered and paged inside the storage."""
        ...

    def history(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        """At most `limit` facts with a number above `after`, in the order they were recorded.

        Nothing ever appears below a number that has been read, so reading on from the last one misses no fact.
        """
        ...

    def name(self, name: str) -> str | None:
        """The id a name points at now, or None."""
        ...

    def names(self, prefix: str = "") -> dict[str, str]:
        """Every name that begins with `prefix`, with the id it points at."""
        ...

    def record(self, series: str, points: Iterable[Point]) -> None:
        """Add values to a metric series; the same step recorded again replaces the value."""
        ...

    def points(self, series: str) -> list[Point]:
        """All values of a series by step."""
        ...

    def verify(self) -> str | None:
        """None when the chain of facts is whole, else what is wrong with which fact."""
        ...

    def close(self) -> None:
        """Let go of the storage; acknowledged facts stay."""
        ...
