"""Silences: faults that nobody is told of for a while."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import msgspec

from keepfit.alerting.alert import Alert
from keepfit.core.errors import UsageError
from keepfit.home import Home
from keepfit.ledger import Fact, Query, fact

LONGEST = timedelta(days=14)


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody is told of this until then."""

    what: str
    """A kind, such as `drift`, or a fault, such as `drift/wind`."""
    until: datetime
    by: str
    note: str = ""


def silence(home: Home, name: str, what: str, length: timedelta, note: str = "") -> Silence:
    """Record a silence from now on; one of no length ends the one before. UsageError when it would be for good."""
    if length > LONGEST:
        hint = f'at most {LONGEST.days}d; for good: [alerts] silence = ["{what}"] in keepfit.toml'
        raise UsageError("a silence that long is forgotten", hint=hint)
    now = home.clock.now()
    body = {"what": what, "until": (now + length).isoformat(), "note": note}
    made = fact("silence", f"alert/{name}", time=now, actor=home.actor, body=body, attributes={"what": what})
    return _silence(home.ledger.append([made])[0])


def silences(home: Home, name: str) -> list[Silence]:
    """The silences that hold now."""
    now = home.clock.now()
    query = Query(kind="silence", subject=f"alert/{name}", since=now - LONGEST, limit=1000, descending=False)
    newest = {found.what: found for found in map(_silence, home.ledger.find(query))}
    return [found for found in newest.values() if found.until > now]


def silenced(alert: Alert, silences: Collection[Silence]) -> Silence | None:
    """The silence that an alert falls under, the longest if several do."""
    found = [s for s in silences if s.what in (alert.kind, alert.fingerprint)]
    return max(found, key=lambda s: s.until, default=None)


def _silence(found: Fact) -> Silence:
    body: Mapping[str, str] = found.body
    return msgspec.convert({**body, "by": found.actor}, Silence)
