"""Triggers: a reason to train, how far the work on it has come, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query, fact
from keepfit.ledger.fact import fact_id

Ending = Literal["released", "rolling out", "refused", "failed", "waiting", "barred", "unchanged"]


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """A reason to train, from its cause to its end."""

    id: str
    number: int
    time: datetime
    reason: str
    ending: Ending | None = None
    note: str = ""
    """Why it ended so."""


def open_trigger(home: Home, name: str, reason: str, last: Trigger | None) -> Trigger:
    """Record the reason; from now on the loop works on it until it has ended."""
    number = last.number + 1 if last else 1
    made = fact(
        "trigger",
        f"model/{name}",
        time=home.clock.now(),
        key=[name, number],
        actor=home.actor,
        body={"number": number, "reason": reason},
        attributes={"number": number},
    )
    return _trigger(home, home.ledger.append([made])[0])


def end_trigger(home: Home, name: str, trigger: Trigger, ending: Ending, note: str) -> Trigger:
    """Record what came of it."""
    made = fact(
        "outcome",
        f"model/{name}",
        time=home.clock.now(),
        key=trigger.id,
        actor=home.actor,
        body={"ending": ending, "note": note},
        refs={"trigger": trigger.id},
        attributes={"ending": ending},
    )
    home.ledger.append([made])
    return msgspec.structs.replace(trigger, ending=ending, note=note)


def reached(home: Home, trigger: Trigger, step: str, id: str) -> None:
    """Record that a step of the work on a trigger is done, by the fact it led to."""
    name = f"{trigger.id}/{step}"
    home.ledger.append([], [Move(name, home.ledger.name(name), id)])


def progress(home: Home, trigger: Trigger) -> dict[str, Fact]:
    """The facts that the steps done so far have led to; step -> fact."""
    names = home.ledger.names(f"{trigger.id}/")
    return {name.rpartition("/")[2]: found for name, id in names.items() if (found := home.ledger.get(id))}


def triggers(home: Home, name: str, *, limit: int = 1000) -> Sequence[Trigger]:
    """All reasons there have been to train, newest first."""
    return [_trigger(home, f) for f in home.ledger.find(Query(kind="trigger", subject=f"model/{name}", limit=limit))]


def find_trigger(home: Home, id: str) -> Trigger:
    """The trigger with this id; NotFound when there is none."""
    found = home.ledger.get(id)
    if found is None or found.kind != "trigger":
        raise NotFound(f"there is no trigger `{id}`", hint="keepfit status")
    return _trigger(home, found)


def _trigger(home: Home, found: Fact) -> Trigger:
    outcome = home.ledger.get(fact_id("outcome", found.id))
    return Trigger(
        id=found.id,
        number=found.body["number"],
        time=found.time,
        reason=found.body["reason"],
        ending=outcome.body["ending"] if outcome else None,
        note=outcome.body["note"] if outcome else "",
    )
