"""Alerts: one per fault, from the first sign of it to the last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query, fact
from keepfit.ledger.fact import fact_id
from keepfit.monitoring.symptom import Severity, Symptom


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody knows."""

    by: str
    time: datetime
    note: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, as it stands."""

    id: str
    opened: str
    """Id of the fact that opened it; its own while it is open."""
    state: Literal["open", "resolved"]
    fingerprint: str
    kind: str
    severity: Severity
    text: str
    since: datetime
    time: datetime
    hint: str = ""
    evidence: dict[str, Any] = {}
    """Its figures, when it was opened."""
    acknowledged: Acknowledged | None = None


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
    alerts = [_alert(home, f) for id in ids if (f := home.ledger.get(id)) and f.body["state"] == "open"]
    return sorted(alerts, key=lambda a: (a.severity != "page", a.since, a.fingerprint))


def alert_history(home: Home, name: str, *, since: datetime | None = None, limit: int = 1000) -> list[Alert]:
    """Every opening and resolving, newest first."""
    query = Query(kind="alert", subject=f"alert/{name}", since=since, limit=limit)
    return [_alert(home, f) for f in home.ledger.find(query)]


def find_alert(home: Home, name: str, reference: str) -> Alert:
    """The alert with this id (or the beginning of one), or the open one of this fault; NotFound when there is none."""
    found = home.ledger.get(home.ledger.name(f"alert/{name}/{reference}") or reference)
    if found is None or found.kind != "alert" or found.subject != f"alert/{name}":
        raise NotFound(f"there is no alert `{reference}`", hint="keepfit alerts --all")
    newest = home.ledger.get(home.ledger.name(f"alert/{name}/{found.body['fingerprint']}") or found.id)
    over = newest is not None and newest.refs.get("previous") == found.id
    return _alert(home, newest if newest and over else found)


def acknowledge(home: Home, name: str, alert: Alert, note: str = "") -> Alert:
    """Record that somebody knows of it; who did so first stays."""
    made = fact(
        "acknowledged",
        f"alert/{name}",
        time=home.clock.now(),
        key=alert.opened,
        actor=home.actor,
        body={"note": note, "fingerprint": alert.fingerprint},
        refs={"alert": alert.opened},
    )
    home.ledger.append([made])
    return msgspec.structs.replace(alert, acknowledged=_acknowledged(home, alert.opened))


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
            "evidence": told.evidence,
        },
        refs={"previous": held} if held else {},
        attributes={"state": state, "severity": told.severity, "kind": told.kind},
    )
    return _alert(home, home.ledger.append([made], [Move(pointer, held, made.id)])[0])


def _alert(home: Home, found: Fact) -> Alert:
    opened = found.id if found.body["state"] == "open" else found.refs["previous"]
    known = _acknowledged(home, opened)
    return msgspec.convert(
        {**found.body, "id": found.id, "opened": opened, "time": found.time, "acknowledged": known}, Alert
    )


def _acknowledged(home: Home, opened: str) -> Acknowledged | None:
    found = home.ledger.get(fact_id("acknowledged", opened))
    return Acknowledged(by=found.actor, time=found.time, note=found.body["note"]) if found else None
