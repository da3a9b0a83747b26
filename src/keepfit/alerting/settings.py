"""What the project says of alerts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import NamedTuple

import msgspec

from keepfit.core.clocks import duration, utc
from keepfit.core.errors import UsageError

AFTER = {"performance": "2 of 3", "drift": "2 of 3", "freshness": "1 of 1", "data": "1 of 1"}
"""How many of the last windows must show a fault before it is told at once, unless the project says otherwise.

Performance is judged anew with every window, and one look in some is wrong by chance; a stale source is a fact.
"""
_SPANS = {"day": "1d", "week": "7d", "month": "30d"}


class Budget(NamedTuple):
    """At most so many in any stretch of time that is so long."""

    pages: int
    period: timedelta


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[alerts]` section."""

    to: list[str] = []
    """Channels that pages go to: `"$TEAM_SLACK"` (an address in an environment variable), `"file:/run/secrets/slack"`
    (in a file of mode 0600), or an address without a secret: `"https://ops.example.com/hook"`, `"mailto://..."`."""
    digest_to: list[str] | None = None
    """Channels that digests go to; those of pages unless said otherwise."""
    digest: str = "08:00 UTC"
    """When what need not wake anyone is told, on days that have some: `"08:00 Europe/Berlin"`."""
    pages: str = "3 per week"
    """Page budget: what is beyond it goes to the digest. A dead endpoint, and nothing in production, page always."""
    after: dict[str, str] = {}
    """How many of the last windows must show a fault before it pages: `{ performance = "2 of 3" }`, the default."""
    escalate: str | None = None
    """How long a page may stay unacknowledged before `escalate_to` is told too: `"4h"`."""
    escalate_to: list[str] = []
    """Channels that are told then."""
    silence: list[str] = []
    """Kinds (`"drift"`) or faults (`"drift/wind"`) that nobody is told of; they are recorded all the same."""
    private: list[str] = []
    """Hosts of webhooks and of the heartbeat that may have a private address: `["ops.internal"]`."""
    heartbeat: str | None = None
    """Address that is asked for once a minute while the loop is well; whoever watches it pages when that ends."""
    stalled: str = "1h"
    """How long the loop may be at one thing before it counts as stuck."""

    @property
    def digests_to(self) -> list[str]:
        return self.to if self.digest_to is None else self.digest_to

    @property
    def channels(self) -> list[str]:
        """Every channel, as written."""
        return list(dict.fromkeys([*self.to, *self.digests_to, *self.escalate_to]))

    @property
    def budget(self) -> Budget:
        match = re.fullmatch(r"(\d+) per (.+)", self.pages)
        if not match:
            raise UsageError(f"`{self.pages}` is not a page budget", hint='write pages = "3 per week"')
        period = duration(_SPANS.get(match[2], match[2]))
        if not period:
            raise UsageError(f"`{match[2]}` is no time at all", hint='write pages = "3 per week"')
        return Budget(int(match[1]), period)

    def windows_of(self, kind: str) -> tuple[int, int]:
        """In how many of how many of the last windows a fault of this kind must be seen; UsageError if misspelt."""
        text = self.after.get(kind, AFTER.get(kind, "1 of 1"))
        match = re.fullmatch(r"(\d+) of (\d+)", text)
        if not match or not 0 < int(match[1]) <= int(match[2]) <= 100:
            raise UsageError(f"`{text}` is not so many of so many windows", hint='write "2 of 3"')
        return int(match[1]), int(match[2])

    def slot(self, now: datetime) -> datetime:
        """The newest time at or before `now` at which a digest is due; UsageError if it is misspelt."""
        at, zone = self._digest()
        local = now.astimezone(zone)
        for days in (0, 1, 2):
            day = local.date() - timedelta(days=days)
            found = utc(datetime.combine(day, at, zone))  # a time that the clocks skip is an hour later
            if found <= now:
                return found
        raise AssertionError("a day ago is not after now")

    def _digest(self) -> tuple[time, tzinfo]:
        clock, _, zone = self.digest.partition(" ")
        hint = 'write digest = "08:00 Europe/Berlin"'
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", clock):
            raise UsageError(f"`{self.digest}` is not a time of day", hint=hint)
        if zone in ("", "UTC"):
            return time.fromisoformat(clock), UTC
        from zoneinfo import ZoneInfo

        try:
            return time.fromisoformat(clock), ZoneInfo(zone)
        except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            raise UsageError(f"`{zone}` is not a time zone", hint=hint) from None
