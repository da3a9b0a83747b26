"""The words of a message: long for mail, short for a chat, and the same for programs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from keepfit.alerting.alert import Alert
from keepfit.alerting.causes import Background
from keepfit.alerting.due import Due
from keepfit.alerting.message import Message
from keepfit.core.clocks import age, iso

LISTED = 20
"""Alerts that a digest has in full; of more, the number."""


def write(draft: Message, due: Due, name: str, *, tally: str, background: Callable[[Alert], Background]) -> Message:
    """The message with its words; `tally` says how the page budget stands."""
    about = due.about
    if due.form in ("page", "escalation"):
        known = {a.id: background(a) for a in about}
        parts = [fault(a, draft.time, known[a.id]) for a in about]
        short = [f"{_line(a, draft.time)}\n  {_show(a)}; keepfit alerts ack {a.id}" for a in about]
        faults = [_data(a, known[a.id]) for a in about]
    else:
        parts = _lists(due, draft.time)
        short, faults = parts, [_data(a, Background()) for a in about]
    title = f"[{name}] {_title(due)}"
    ending = [tally] if due.form in ("page", "digest") else []
    return msgspec.structs.replace(
        draft,
        title=title,
        text="\n".join([*parts, *ending, f"message {draft.id}", ""]),
        short="\n".join([*short, *ending, draft.id]),
        faults=faults,
    )


def _title(due: Due) -> str:
    about = due.about
    first = about[0].text.splitlines()[0]
    told = f"{len(about)} faults, first: {first}" if len(about) > 1 else first
    words = {"page": told, "escalation": f"nobody has acknowledged: {told}", "resolved": f"resolved: {told}"}
    held = f", {len(due.held)} beyond the page budget" if due.held else ""
    return words.get(due.form, f"digest: {len(about)} alert{'s' if len(about) > 1 else ''}{held}")


def fault(alert: Alert, now: datetime, known: Background) -> str:
    """All that is known of a fault: what, since when, how bad, what may be behind it, and what can be done."""
    figures = "  ".join(f"{n} {_figure(v)}" for n, v in alert.evidence.items() if type(v) in (int, float, str))
    rows = [
        ("fault", f"{alert.fingerprint}   ({alert.id})"),
        ("since", f"{iso(alert.since)} UTC ({age(now - alert.since)})"),
        *([("how bad", figures)] if figures else []),
        *((("likely causes" if i == 0 else ""), f"{i + 1}. {c}") for i, c in enumerate(known.causes)),
        *([] if known.causes else [("likely causes", "nothing that is recorded changed around that time")]),
        ("show", _show(alert)),
        ("roll back", known.roll_back or "there is no earlier champion to go back to"),
        ("acknowledge", f"keepfit alerts ack {alert.id}"),
    ]
    return "\n".join([alert.text, "", *(f"  {head:<15}{text}".rstrip() for head, text in rows), ""])


def _lists(due: Due, now: datetime) -> list[str]:
    """The alerts of a digest, by what is to be said of them."""
    held = {a.id for a in due.held}
    over = [a for a in due.about if a.state == "resolved"]
    waiting = [a for a in due.about if a not in over and a.severity == "page" and not a.acknowledged]
    others = [a for a in due.about if a not in over and a not in waiting]
    waiting = [a for a in waiting if a.id not in held]
    lines: list[str] = []
    for head, alerts in (
        ("beyond the page budget, so nobody was paged:", due.held),
        ("open, and nobody has acknowledged:", waiting),
        ("new:", others),
        ("resolved:", over),
    ):
        if alerts:
            lines += [head, *(f"  {_line(a, now)}" for a in alerts[:LISTED])]
            lines += [f"  and {len(alerts) - LISTED} more: keepfit alerts --all"] if len(alerts) > LISTED else []
            lines.append("")
    return lines


def _line(alert: Alert, now: datetime) -> str:
    if alert.state == "resolved":
        return f"{alert.text} ({alert.fingerprint}, from {iso(alert.since)} to {iso(alert.time)} UTC)"
    known = f", {alert.acknowledged.by or 'somebody'} knows" if alert.acknowledged else ""
    return f"{alert.text} ({alert.fingerprint}, since {iso(alert.since)} UTC, {age(now - alert.since)}{known})"


def _show(alert: Alert) -> str:
    return alert.hint or f"keepfit alerts show {alert.id}"


def _figure(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def _data(alert: Alert, known: Background) -> dict[str, Any]:
    return {
        "id": alert.opened,
        "state": alert.state,
        "kind": alert.kind,
        "fingerprint": alert.fingerprint,
        "severity": alert.severity,
        "text": alert.text,
        "since": iso(alert.since),
        "evidence": alert.evidence,
        "causes": known.causes,
        "show": _show(alert),
        "roll_back": known.roll_back.partition("   ")[0],
    }


def tally_of(pages: int, allowed: int, period: timedelta) -> str:
    """How the page budget stands, in words."""
    return f"pages in the last {age(period)}: {pages} of {allowed}"
