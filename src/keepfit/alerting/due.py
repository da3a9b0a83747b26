"""Who must be told what, now. Pure: the same alerts, policy and time give the same messages.

A fault pages once, when enough of the last windows show it, unless somebody knows of it already. Pages
that come due together are one message. In any stretch of time as long as the budget's, no more pages
go out than it allows, but for severe faults. What it holds back is told in the next digest, which says so. A
silence delays; it loses nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from keepfit.alerting.alert import Alert
from keepfit.alerting.message import Form, Message
from keepfit.alerting.settings import AlertSettings
from keepfit.alerting.silence import Silence, silenced
from keepfit.core.clocks import duration

SEVERE = ("service", "production")
"""Kinds that page whatever the budget says: nobody gets an answer, or nothing is there to give one."""
AGAIN = timedelta(hours=1)
"""How long a fault that was paged and comes back waits until it pages again."""
LATELY = timedelta(days=21)
"""How long ago an alert may have ended to be told of; longer than any silence."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """All that it rests on."""

    now: datetime
    open: Sequence[Alert] = ()
    ended: Sequence[Alert] = ()
    """What was resolved lately."""
    windows: Sequence[Collection[str]] = ()
    """The faults that each window showed, newest first."""
    messages: Sequence[Message] = ()
    """All since the oldest of these alerts was opened, and since the budget's time began."""
    silences: Sequence[Silence] = ()


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is due, before it has words."""

    form: Form
    about: list[Alert]
    held: list[Alert] = []
    escalated: bool = False
    """Of an end: whether the beginning had been escalated."""


def due(settings: AlertSettings, standing: Standing) -> list[Due]:
    """The messages that are due now; none of them when all that can be told has been."""
    found = []
    told = {id for m in standing.messages for id in m.about}
    paged = {id for m in standing.messages if m.form == "page" for id in m.about}
    if over := [a for a in _heard(settings, standing, standing.ended) if a.opened in paged and a.id not in told]:
        wide = {id for m in standing.messages if m.form == "escalation" for id in m.about}
        found.append(Due(form="resolved", about=over, escalated=any(a.opened in wide for a in over)))
    now, beyond = _pages(settings, standing, paged)
    if now:
        found.append(Due(form="page", about=now))
    if late := _escalated(settings, standing):
        found.append(Due(form="escalation", about=late))
    if digest := _digest(settings, standing, told, paged, [a for a in beyond if a not in now]):
        found.append(digest)
    return found


def pages_lately(settings: AlertSettings, standing: Standing) -> int:
    """How many pages went out in the stretch of time that the budget is for."""
    since = standing.now - settings.budget.period
    return sum(m.form == "page" and m.time > since for m in standing.messages)


def _pages(settings: AlertSettings, standing: Standing, paged: set[str]) -> tuple[list[Alert], list[Alert]]:
    """The alerts that page now, and those that would but for the budget."""
    held = {id for m in standing.messages for id in m.held}
    recent = {a.fingerprint for a in standing.ended for m in _of(standing, a.opened) if standing.now - m.time < AGAIN}
    waiting = [
        a
        for a in _heard(settings, standing, standing.open)
        if a.severity == "page"
        and a.acknowledged is None
        and a.id not in paged | held
        and a.fingerprint not in recent
        and _shown(settings, standing, a)
    ]
    if not settings.to or pages_lately(settings, standing) < settings.budget.pages:
        return waiting if settings.to else [], []
    severe = [a for a in waiting if a.kind in SEVERE]
    return severe, [a for a in waiting if a not in severe]


def _shown(settings: AlertSettings, standing: Standing, alert: Alert) -> bool:
    """Whether enough of the last windows show it."""
    least, last = settings.windows_of(alert.kind)
    return least == 1 or sum(alert.fingerprint in seen for seen in standing.windows[:last]) >= least


def _escalated(settings: AlertSettings, standing: Standing) -> list[Alert]:
    if settings.escalate is None:
        return []
    patience = duration(settings.escalate)
    done = {id for m in standing.messages if m.form == "escalation" for id in m.about}
    late = {
        id for m in standing.messages if m.form == "page" and standing.now - m.time >= patience for id in m.about
    } - done
    return [a for a in _heard(settings, standing, standing.open) if a.id in late and a.acknowledged is None]


def _digest(
    settings: AlertSettings, standing: Standing, told: set[str], paged: set[str], beyond: list[Alert]
) -> Due | None:
    """All that is new since the last one, and pages that nobody has acknowledged, once for each time it is due."""
    slot = settings.slot(standing.now)
    if not settings.digests_to or any(m.form == "digest" and m.time >= slot for m in standing.messages):
        return None
    heard = [a for a in _heard(settings, standing, [*standing.open, *standing.ended]) if a.time < slot]
    news = [a for a in heard if a.id not in told and not (a.state == "resolved" and a.opened in paged)]
    nobody = [a for a in heard if a.state == "open" and a.severity == "page" and a.acknowledged is None]
    about = {a.id: a for a in [*news, *nobody]}
    held = [a for a in beyond if a.id in about]
    return Due(form="digest", about=list(about.values()), held=held) if about else None


def _heard(settings: AlertSettings, standing: Standing, alerts: Sequence[Alert]) -> list[Alert]:
    """The alerts that no silence covers."""
    never = [a for a in alerts if a.kind in settings.silence or a.fingerprint in settings.silence]
    return [a for a in alerts if a not in never and silenced(a, standing.silences) is None]


def _of(standing: Standing, opened: str) -> list[Message]:
    """The pages that told of an alert."""
    return [m for m in standing.messages if m.form == "page" and opened in m.about]
