"""Alerts: one per fault, from the first sign of it to the last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query, fact
from keepfit.monitoring.symptom import Severity, Symptom


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, as it stands."""

    id: str
    state: Literal["open", "resolved"]
    fingerprint: str
    kind: str
    severity: Severity
    text: str
    since: datetime
    time: datetime
    hint: str = ""


def update(home: Home, name: str, symptoms: Sequence[Symptom], *, kinds: Sequence[str]) -> list[Alert]:
    """Open an alert for each new fault, and resolve those of these kinds that no symptom shows any more.

    Gives the alerts that changed. A fault that is open already stays one alert.
    """
    now = {s.fingerprint: s for s in symptoms}
    standing = {a.fingerprint: a for a in open_alerts(home, name)}
    opened = [_move(home, name, "open", s, None) for f, s in now.items() if f not in standing]
    gone = [a for f, a in standing.items() if f not in now and a.kind in kinds]
    return opened + [_move(home, name, "resolved", None, a) for a in gone]


def open_alerts(home: Home, name: str) -> list[Alert]:
    """The alerts that stand now, pages first, oldest first."""
    ids = home.ledger.names(f"alert/{name}/").values()
    alerts = [_alert(f) for id in ids if (f := home.ledger.get(id))]
    standing = [a for a in alerts if a.state == "open"]
    return sorted(standing, key=lambda a: (a.severity != "page", a.since, a.fingerprint))


def alert_history(home: Home, name: str, *, limit: int = 1000) -> list[Alert]:
    """Every opening and resolving, newest first."""
    return [_alert(f) for f in home.ledger.find(Query(kind="alert", subject=f"alert/{name}", limit=limit))]


def _move(home: Home, name: str, state: str, symptom: Symptom | None, before: Alert | None) -> Alert:
    fingerprint = symptom.fingerprint if symptom else before.fingerprint if before else ""
    pointer = f"alert/{name}/{fingerprint}"
    held = home.ledger.name(pointer)
    now = home.clock.now()
    told = symptom or before
    assert told is not None
    made = fact(
        "alert",
        f"alert/{name}",
        time=now,
        key=[pointer, state, held],
        actor=home.actor,
        body={
            "state": state,
            "fingerprint": fingerprint,
            "kind": told.kind,
            "severity": told.severity,
            "text": told.text,
            "since": (before.since if before else now).isoformat(),
            "hint": told.hint,
        },
        refs={"previous": held} if held else {},
        attributes={"state": state, "severity": told.severity, "kind": told.kind},
    )
    return _alert(home.ledger.append([made], [Move(pointer, held, made.id)])[0])


def _alert(found: Fact) -> Alert:
    return msgspec.convert({**found.body, "id": found.id, "time": found.time}, Alert)
