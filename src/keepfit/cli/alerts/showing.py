"""What the sub-verbs of `alerts`, and `status`, show alike."""

from __future__ import annotations

from collections.abc import Collection

from keepfit.alerting.alert import Alert
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
