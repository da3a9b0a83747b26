"""What the sub-verbs of `alerts`, and `status`, show alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from keepfit.alerting.alert import Alert
from keepfit.alerting.channel import name_of
from keepfit.alerting.outbox import Parcel
from keepfit.alerting.silence import Silence, silenced
from keepfit.core.clocks import iso


def known(alert: Alert, silences: Collection[Silence]) -> str:
    """Who knows of an alert, and until when nobody is told of it."""
    told = []
    if alert.acknowledged:
        told.append(f"known to {alert.acknowledged.by or 'somebody'}")
    if quiet := silenced(alert, silences):
        told.append(f"silenced until {iso(quiet.until)}")
    return ", ".join(told)


def stuck(waiting: Sequence[Parcel]) -> list[str]:
    """A line for each channel that has messages to come."""
    found: dict[str, list[Parcel]] = {}
    for parcel in waiting:
        found.setdefault(name_of(parcel.channel), []).append(parcel)
    lines = []
    for channel, parcels in found.items():
        worst = max(parcels, key=lambda p: p.failures)
        why = f"failed {worst.failures} times, again at {iso(worst.next)}: {worst.reason}" if worst.failures else ""
        lines.append(f"not delivered to {channel}: {len(parcels)} of the messages {why}".rstrip())
    return lines
