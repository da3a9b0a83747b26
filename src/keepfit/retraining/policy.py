"""When to train again: the project's wishes, the evidence, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from keepfit.core.clocks import duration
from keepfit.home import Home
from keepfit.ledger import Fact, Query, fact
from keepfit.ledger.fact import fact_id
from keepfit.retraining.settings import RetrainSettings

RETRY = timedelta(minutes=10)
"""How long to wait after a training that failed while nothing is in production."""

Ending = Literal["released", "refused", "failed", "waiting", "unchanged"]


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """A reason to train, from its cause to its end."""

    id: str
    number: int
    time: datetime
    reason: str
    ending: Ending | None = None
    note: str = ""
    """Why it ended so."""


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for training again."""

    live: datetime | None
    """Since when the champion has been in production."""
    performance: str | None = None
    """The alert on performance, in words."""
    drift: str | None = None
    data: str | None = None
    code: str | None = None


def reason_to_train(settings: RetrainSettings, signs: Signs, last: Trigger | None, now: datetime) -> str | None:
    """Why to train now, or None. Pure: the same arguments give the same answer."""
    if signs.live is None:
        again = last is None or now - last.time >= RETRY
        return "nothing is in production" if again else None
    if last and now - last.time < duration(settings.pause):
        return None
    for wish in ("performance", "drift", "data", "code"):
        told = getattr(signs, wish)
        if wish in settings.when and told:
            return f"{wish}: {told}"
    if settings.every and now - (last.time if last else signs.live) >= duration(settings.every):
        return f"schedule: every {settings.every}"
    return None


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


def triggers(home: Home, name: str, *, limit: int = 1000) -> Sequence[Trigger]:
    """All reasons there have been to train, newest first."""
    return [_trigger(home, f) for f in home.ledger.find(Query(kind="trigger", subject=f"model/{name}", limit=limit))]


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
