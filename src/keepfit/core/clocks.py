"""Time: always aware UTC; the wall's or a replay's, behind one call."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from keepfit.core.errors import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*")


class Clock(Protocol):
    """Tells what time it is for the loop."""

    def now(self) -> datetime: ...


class WallClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class ReplayClock:
    """A time that moves only when told to, and never backwards."""

    def __init__(self, start: datetime) -> None:
        self._now = utc(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, to: datetime) -> None:
        """Move to `to`; UsageError when that is earlier, for facts may not appear before their causes."""
        if utc(to) < self._now:
            raise UsageError(f"a replay cannot go back from {iso(self._now)} to {iso(to)}")
        self._now = utc(to)


def duration(text: str) -> timedelta:
    """`"24h"`, `"60d"`, `"20ms"`, `"1.5h"` or a sum such as `"1d 12h"` as a timedelta; UsageError otherwise."""
    total, rest = timedelta(), text
    try:
        while match := _DURATION.match(rest):
            number, unit, rest = float(match[1]), match[2], rest[match.end() :]
            total += timedelta(milliseconds=number) if unit == "ms" else timedelta(**{_UNITS[unit]: number})
    except OverflowError:
        raise UsageError(f"`{text}` is longer than time is counted", hint="write less than 900000000d") from None
    if rest or not text.strip():
        raise UsageError(f"`{text}` is not a duration", hint="write a number and a unit: 20ms, 30s, 15m, 24h, 60d, 2w")
    return total


def instant(text: str) -> datetime:
    """An ISO 8601 date or time as aware UTC; a time without a zone is taken as UTC; UsageError otherwise."""
    try:
        return utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise UsageError(f"`{text}` is not a time", hint="write 2013-05-02 or 2013-05-02T14:30") from None


def utc(time: datetime) -> datetime:
    """The same instant in UTC; a naive time is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def iso(time: datetime) -> str:
    """The time as people read it: `2013-05-02 14:30:00`, without a zone since all are UTC."""
    return utc(time).replace(tzinfo=None, microsecond=0).isoformat(" ")


def age(length: timedelta) -> str:
    """How long something has lasted, roughly: `3d`, `4h`, `12m`."""
    for unit, seconds in (("d", 86_400), ("h", 3600), ("m", 60)):
        if length >= timedelta(seconds=2 * seconds):
            return f"{length // timedelta(seconds=seconds)}{unit}"
    return f"{max(0, length // timedelta(seconds=1))}s"
