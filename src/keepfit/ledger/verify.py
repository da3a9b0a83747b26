"""Whether a ledger is whole: every fact, its attributes, and where every name points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from keepfit.ledger.dialect import Dialect
from keepfit.ledger.row import COLUMNS, Row, attributes_of, link

Read = Callable[[str], Iterable[Any]]
"""The rows that a statement gives, as they come; all statements see the same facts."""


def verify(read: Read, dialect: Dialect) -> str | None:
    """None when the chain of facts is whole, else what is wrong with which fact."""
    return _chain(read, dialect) or _names(read)


def _chain(read: Read, dialect: Dialect) -> str | None:
    count, chain, indexed = 0, "", _Indexed(read("SELECT seq, name, kind, subject, value FROM attribute ORDER BY seq"))
    for seq, recorded, kept, *values in read(f"SELECT seq, recorded, chain, {COLUMNS} FROM fact ORDER BY seq"):
        count, row = count + 1, Row(*values)
        if seq != count:
            return f"fact number {count} is missing"
        chain = link(chain, seq, recorded, row)
        if chain != kept:
            return f"fact number {seq}, `{row.id}`, has been altered"
        expected = {name: (row.kind, row.subject, dialect.key(value)) for name, value in attributes_of(row).items()}
        if indexed.of(seq) != expected:
            return f"the attributes of fact number {seq}, `{row.id}`, have been altered"
    if indexed.strangers():
        return "there are attributes that belong to no fact"
    if [tuple(head) for head in read("SELECT count, chain FROM head")] != [(count, chain)]:
        return f"the ledger ends at fact number {count}, but that is not the last that was recorded"
    return None


def _names(read: Read) -> str | None:
    select = "SELECT name, id FROM name WHERE NOT EXISTS (SELECT 1 FROM fact WHERE fact.id = name.id) LIMIT 1"
    for name, id in read(select):
        return f"`{name}` points at `{id}`, which is not in the ledger"
    return None


class _Indexed:
    """The table of attributes, read alongside the facts."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._groups: Iterator[Any] = groupby(rows, key=lambda row: row[0])
        self._strange = False
        self._step()

    def of(self, seq: int) -> dict[str, tuple[Any, ...]]:
        while self._seq is not None and self._seq < seq:
            self._strange = True
            self._step()
        if self._seq != seq:
            return {}
        held = {name: tuple(held) for _, name, *held in self._rows}
        self._step()
        return held

    def strangers(self) -> bool:
        """Whether there were any that belong to none of the facts asked for, in order, so far."""
        return self._strange or self._seq is not None

    def _step(self) -> None:
        self._seq: int | None
        self._rows: Iterable[Any]
        self._seq, self._rows = next(self._groups, (None, ()))
