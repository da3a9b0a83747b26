"""What becomes of writes that share a commit: which facts are new, which names move, who is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from keepfit.core.errors import KeepfitError, NameMoved, UsageError
from keepfit.ledger.fact import Move
from keepfit.ledger.group import Work
from keepfit.ledger.row import PointRow, Row, attributes_of, link


class Write(NamedTuple):
    """One caller's wish: facts to append, names to move, points to keep; all of it, or nothing."""

    rows: Sequence[Row] = ()
    moves: Sequence[Move] = ()
    points: Sequence[PointRow] = ()

    @property
    def ids(self) -> list[str]:
        """The facts it rests on."""
        return [row.id for row in self.rows] + [move.new for move in self.moves]

    @property
    def names(self) -> list[str]:
        """The names it moves."""
        return [move.name for move in self.moves]


Writes = Sequence[Work[Write, list[Row]]]


class Linked(NamedTuple):
    """A new fact in its place."""

    seq: int
    recorded: int
    chain: str
    row: Row


@dataclass
class State:
    """What the ledger holds of all that the writes speak of; nobody else changes it meanwhile."""

    count: int
    chain: str
    facts: dict[str, Row]
    names: dict[str, str]


@dataclass
class Changes:
    """What is to be written."""

    facts: list[Linked] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    points: dict[tuple[str, int], PointRow] = field(default_factory=dict)

    def fact_rows(self) -> list[tuple[Any, ...]]:
        """Of the table of facts: number, when it was recorded, chain, and what the row holds."""
        return [(*fact[:3], *fact.row) for fact in self.facts]

    def attribute_rows(self, key: Callable[[float | str], Any]) -> list[tuple[int, str, str, str, Any]]:
        """Of the table of attributes: number and name, the fact's kind and subject, value."""
        return [
            (fact.seq, name, fact.row.kind, fact.row.subject, key(value))
            for fact in self.facts
            for name, value in attributes_of(fact.row).items()
        ]


def settle(writes: Writes, state: State) -> Changes:
    """Sets each write's result, or its error, one after the other, and gives back what to write for all of them."""
    changes, recorded = Changes(), time.time_ns() // 1000
    for work in writes:
        work.error = None
        try:
            moved = _moved(work.asked, state)
        except KeepfitError as problem:
            work.error = problem
            continue
        _link(work.asked.rows, recorded, state, changes)
        state.names.update(moved)
        changes.names.update(moved)
        changes.points.update((point[:2], point) for point in work.asked.points)
        work.result = [state.facts[row.id] for row in work.asked.rows]
    return changes


def asked(writes: Writes) -> tuple[list[str], list[str]]:
    """The ids and the names whose state must be known to settle these writes."""
    return _each(id for work in writes for id in work.asked.ids), _each(n for work in writes for n in work.asked.names)


def _each(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _link(rows: Sequence[Row], recorded: int, state: State, changes: Changes) -> None:
    for row in rows:
        if row.id not in state.facts:
            state.count += 1
            state.chain = link(state.chain, state.count, recorded, row)
            state.facts[row.id] = row
            changes.facts.append(Linked(state.count, recorded, state.chain, row))


def _moved(write: Write, state: State) -> dict[str, str]:
    moved, own = dict[str, str](), {row.id for row in write.rows}
    for move in write.moves:
        held = moved.get(move.name, state.names.get(move.name))
        if held != move.old:
            at, expected = (f"at `{id}`" if id else "nowhere" for id in (held, move.old))
            message = f"`{move.name}` points {at}, no longer {expected}"
            raise NameMoved(message, hint="someone else moved it first: look at it again, then repeat the command")
        if move.new not in state.facts and move.new not in own:
            raise UsageError(f"`{move.name}` cannot point at `{move.new}`: the ledger holds no such fact")
        moved[move.name] = move.new
    return moved
