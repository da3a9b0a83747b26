"""The outbox: messages that are due become facts, and so does what came of sending them.

Whoever is killed at any moment leaves either no message, which is then due again, or one that stays
here until a channel has taken it. Only a kill between a channel's yes and the fact that says so makes
a message go out twice, under the same id.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from keepfit.alerting.alert import alert_history, open_alerts
from keepfit.alerting.causes import background
from keepfit.alerting.channel import name_of
from keepfit.alerting.due import LATELY, SEVERE, Due, Standing, due, pages_lately
from keepfit.alerting.message import Form, Message
from keepfit.alerting.settings import AlertSettings
from keepfit.alerting.silence import silences
from keepfit.alerting.write import tally_of, write
from keepfit.core.errors import NameMoved
from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query, fact
from keepfit.ledger.fact import fact_id
from keepfit.monitoring.watch import list_windows

KEPT = timedelta(days=7)
"""How long a message is tried; `keepfit status` names what no channel has taken all the while."""
FIRST, LAST = timedelta(seconds=30), timedelta(hours=1)
"""How long after a failure the next attempt comes: twice as long each time, up to the last."""
_ALL = 100_000


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a channel has not taken yet."""

    message: Message
    channel: str
    """As written in keepfit.toml."""
    failures: int = 0
    next: datetime
    """When to try."""
    reason: str = ""
    """Why it was not taken last."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What came of sending a message."""

    time: datetime
    channel: str
    state: Literal["sent", "failed"]
    reason: str = ""


def standing(home: Home, name: str, settings: AlertSettings) -> Standing:
    """What decides who must be told what now, read from the facts."""
    now = home.clock.now()
    opened = open_alerts(home, name)
    ended = [a for a in alert_history(home, name, since=now - LATELY, limit=_ALL) if a.state == "resolved"]
    begun = min([now - max(settings.budget.period, KEPT), *(a.since for a in [*opened, *ended])])
    most = max(settings.windows_of(a.kind)[1] for a in opened) if opened else 0
    seen = list_windows(home, name, limit=most) if most > 1 else []
    return Standing(
        now=now,
        open=opened,
        ended=ended,
        windows=[{s.fingerprint for s in w.symptoms} for w in seen],
        messages=messages(home, name, since=begun),
        silences=silences(home, name),
    )


def fill(home: Home, name: str, settings: AlertSettings) -> list[Message]:
    """Put what is due now into the outbox; the new messages. Nothing that another process puts there is doubled."""
    if not settings.channels:
        return []
    while True:
        head = home.ledger.name(f"outbox/{name}")  # before looking: whatever comes in between is noticed
        now = standing(home, name, settings)
        drafts = due(settings, now)
        if not drafts:
            return []
        pages = pages_lately(settings, now) + sum(d.form == "page" for d in drafts)
        tally = tally_of(pages, *settings.budget)
        made = [_fact(home, name, settings, draft, now.now, tally) for draft in drafts]
        try:
            kept = home.ledger.append(made, [Move(f"outbox/{name}", head, made[-1].id)])
            return [_message(f) for f in kept]
        except NameMoved:
            continue


def messages(home: Home, name: str, *, since: datetime | None = None) -> list[Message]:
    """The messages there have been, newest first."""
    return [_message(f) for f in home.ledger.find(_query("message", name, since))]


def parcels(home: Home, name: str, settings: AlertSettings) -> list[Parcel]:
    """What channels have not taken yet, oldest first.

    A channel that is no longer written in keepfit.toml, and never took a message, gives way to those that are.
    """
    since = home.clock.now() - KEPT
    told = messages(home, name, since=since)
    outcomes = deliveries(home, name, told)
    waiting = []
    for message in reversed(told):
        for channel in _targets(message, settings, {o.channel for o in outcomes[message.id] if o.state == "sent"}):
            failed = [o for o in outcomes[message.id] if o.channel == name_of(channel)]
            wait = min(FIRST * 2 ** min(len(failed) - 1, 20), LAST) if failed else FIRST * 0
            parcel = Parcel(
                message=message,
                channel=channel,
                failures=len(failed),
                next=(failed[-1].time if failed else message.time) + wait,
                reason=failed[-1].reason if failed else "",
            )
            waiting.append(parcel)
    return waiting


def deliveries(home: Home, name: str, of: Collection[Message]) -> dict[str, list[Delivery]]:
    """What came of sending these messages, by their ids, oldest first."""
    outcomes: dict[str, list[Delivery]] = {m.id: [] for m in of}
    since = min((m.time for m in of), default=None)
    for found in home.ledger.find(_query("delivery", name, since)) if of else ():
        if found.refs["message"] in outcomes:
            outcomes[found.refs["message"]].insert(0, msgspec.convert({**found.body, "time": found.time}, Delivery))
    return outcomes


def record(home: Home, name: str, parcel: Parcel, reason: str | None) -> None:
    """Record that a channel took a message, or (with a reason) that it did not."""
    channel, state = name_of(parcel.channel), "sent" if reason is None else "failed"
    made = fact(
        "delivery",
        f"alert/{name}",
        time=home.clock.now(),
        key=[parcel.message.id, channel, parcel.failures],
        actor=home.actor,
        body={"channel": channel, "state": state, "form": parcel.message.form, "reason": reason or ""},
        refs={"message": parcel.message.id},
        attributes={"state": state},
    )
    home.ledger.append([made])


def _targets(message: Message, settings: AlertSettings, taken: Collection[str]) -> list[str]:
    meant = [c for c in settings.channels if name_of(c) in message.channels]
    if set(message.channels) - {name_of(c) for c in meant} - set(taken):
        meant += [c for c in _channels(settings, message.form) if c not in meant]
    return [c for c in meant if name_of(c) not in taken]


def _channels(settings: AlertSettings, form: Form) -> list[str]:
    by_form = {"digest": settings.digests_to, "escalation": settings.escalate_to}
    return by_form.get(form, settings.to)


def _fact(home: Home, name: str, settings: AlertSettings, draft: Due, now: datetime, tally: str) -> Fact:
    about = [a.id for a in draft.about]
    key = [name, draft.form, about, now]  # the time too: projects of one name share receivers
    channels = [*_channels(settings, draft.form), *(settings.escalate_to if draft.escalated else [])]
    message = Message(
        id=fact_id("message", key),
        form=draft.form,
        time=now,
        about=about,
        held=[a.id for a in draft.held],
        severe=any(a.kind in SEVERE for a in draft.about),
        channels=[name_of(c) for c in dict.fromkeys(channels)],
    )
    words = write(message, draft, name, tally=tally, background=lambda alert: background(home, name, alert))
    body: dict[str, Any] = msgspec.to_builtins(words)
    for column in ("id", "time"):
        del body[column]
    return fact(
        "message",
        f"alert/{name}",
        time=now,
        key=key,
        actor=home.actor,
        body=body,
        attributes={"form": draft.form},
    )


def _message(found: Fact) -> Message:
    return msgspec.convert({**found.body, "id": found.id, "time": found.time}, Message)


def _query(kind: str, name: str, since: datetime | None) -> Query:
    return Query(kind=kind, subject=f"alert/{name}", since=since, limit=_ALL)
