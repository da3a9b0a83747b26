"""What may be behind a fault, and what can be done: read from the facts around the time it began."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from keepfit.alerting.alert import Alert
from keepfit.core.clocks import iso
from keepfit.home import Home
from keepfit.ledger import Fact, Query
from keepfit.monitoring.watch import list_windows
from keepfit.releases.release import champion, earlier

BEFORE = timedelta(days=7)
"""How long before the first sign of a fault its cause is looked for."""
SHOWN = 5
"""Columns, and changes, that are named."""
_CHANGES = ("release", "rollout", "data", "change")


class Background(msgspec.Struct, frozen=True, kw_only=True):
    """What is known around a fault."""

    causes: list[str] = []
    """What may be behind it: columns that drift, sources that are late, then what changed, the newest first."""
    roll_back: str = ""
    """The command that puts the earlier champion back, and which that is; empty when there is none."""


def background(home: Home, name: str, alert: Alert) -> Background:
    """What the facts say around an alert."""
    symptoms = [s for w in list_windows(home, name, limit=1) for s in w.symptoms if s.fingerprint != alert.fingerprint]
    drifted = [f"drift: {s.text}" for s in symptoms if s.kind == "drift"]
    late = [f"source: {s.text}" for s in symptoms if s.kind == "freshness"]
    more = [f"drift of {len(drifted) - SHOWN} more columns"] if len(drifted) > SHOWN else []
    return Background(
        causes=[*drifted[:SHOWN], *more, *late, *_changes(home, name, alert)], roll_back=_back(home, name)
    )


def _changes(home: Home, name: str, alert: Alert) -> list[str]:
    """Releases, and changes of data, code and environment, since shortly before it began."""
    since = alert.since - BEFORE
    found = [f for kind in _CHANGES for f in home.ledger.find(Query(kind=kind, since=since, limit=100))]
    wanted = [f for f in found if f.kind == "data" or f.subject.partition("/")[2] in (name, "")]
    newest = sorted(wanted, key=lambda f: f.time, reverse=True)
    return [f"{_told(f)} ({iso(f.time)})" for f in newest if f.body.get("text") != "first seen"][:SHOWN]


def _told(found: Fact) -> str:
    if found.kind == "release":
        return f"release: version {found.body['version']} went live by {found.actor or '-'}, {found.body['reason']}"
    if found.kind == "rollout":
        return f"rollout: version {found.body['version']} {found.body['stage']}"
    if found.kind == "data":
        return f"data: version {found.body['number']} of {found.subject.removeprefix('data/')}"
    return f"{found.body['kind']}: {found.body['text']}"


def _back(home: Home, name: str) -> str:
    previous = next(iter(earlier(home, name)), None)
    return f"keepfit rollback   (puts {previous} back)" if previous and champion(home, name) else ""
