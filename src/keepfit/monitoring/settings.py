"""What the project says of monitoring."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal

import msgspec

from keepfit.core.clocks import duration
from keepfit.core.errors import UsageError

ChangeKind = Literal["data", "code", "environment", "model", "release"]


class WatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[watch]` section."""

    window: str = "1d"
    """How much time is looked at as one."""
    recent: int = 14
    """Windows the performance is judged over."""
    alarms: str = "1 per 1000 windows"
    """False alarms the drift monitor may raise when nothing has changed."""
    changes: list[ChangeKind] = []
    """What to be told of when it is not as it was when the champion was made (`data`, `code`, `environment`), or for
    one window after it moved (`model`, `release`)."""

    @property
    def width(self) -> timedelta:
        return duration(self.window)

    @property
    def alarm_rate(self) -> float:
        """Chance of a false alarm in one window."""
        match = re.fullmatch(r"(\d+) per (\d+) windows?", self.alarms)
        if not match or not 0 < int(match[1]) <= int(match[2]):
            raise UsageError(f"`{self.alarms}` is not an alarm budget", hint='write alarms = "1 per 1000 windows"')
        return int(match[1]) / int(match[2])
