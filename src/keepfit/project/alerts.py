"""Rules of `[alerts]`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

from keepfit.alerting.channel import WEB, check_channel
from keepfit.alerting.settings import AFTER, AlertSettings
from keepfit.core.errors import UsageError, did_you_mean
from keepfit.core.toml import Key
from keepfit.monitoring.symptom import SymptomKind
from keepfit.project.columns import span
from keepfit.project.sections import Problem


def alert_rules(alerts: AlertSettings) -> Iterator[Problem]:
    """What is wrong with the settings in themselves."""
    for name in ("to", "digest_to", "escalate_to"):
        for i, channel in enumerate(getattr(alerts, name) or ()):
            yield from _usage(("alerts", name, i), lambda channel=channel: check_channel(channel))
    yield from _usage(("alerts", "pages"), lambda: alerts.budget)
    yield from _usage(("alerts", "digest"), lambda: alerts.slot(datetime(2024, 1, 1, tzinfo=UTC)))
    for kind in alerts.after:
        key: Key = ("alerts", "after", kind)
        if kind not in AFTER:
            problem = f"`{kind}` is not looked for window by window"
            yield Problem(problem, key, did_you_mean(kind, AFTER))
        yield from _usage(key, lambda kind=kind: alerts.windows_of(kind))
    for i, what in enumerate(alerts.silence):
        kinds = get_args(SymptomKind)
        if what.partition("/")[0] not in kinds:
            yield Problem(f"`{what}` is no kind of alert", ("alerts", "silence", i), did_you_mean(what, kinds))
    for name in ("escalate", "stalled"):
        yield from span(getattr(alerts, name), ("alerts", name))[1]
    if alerts.escalate and not alerts.escalate_to:
        yield Problem("`escalate` tells nobody", ("alerts", "escalate"), 'add escalate_to = ["$OTHER_CHANNEL"]')
    if alerts.escalate_to and not alerts.escalate:
        yield Problem("nothing says when to tell `escalate_to`", ("alerts", "escalate_to"), 'add escalate = "4h"')
    if alerts.heartbeat:
        yield from _heartbeat(alerts.heartbeat)


def _heartbeat(written: str) -> Iterator[Problem]:
    key: Key = ("alerts", "heartbeat")
    if "://" in written and written.partition("://")[0] not in WEB:
        yield Problem(f"`{written.partition('://')[0]}` cannot be asked for", key, 'write "https://..." or "$NAME"')
    else:
        yield from _usage(key, lambda: check_channel(written))


def _usage(key: Key, read: Any) -> Iterator[Problem]:
    """The problem that reading a setting raises."""
    try:
        read()
    except UsageError as problem:
        yield Problem(problem.message, key, problem.hint)
