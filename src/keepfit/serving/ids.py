"""Prediction ids: in order of time, and unique across restarts and replicas."""

from __future__ import annotations

import os
import re
import time

_ID = re.compile(r"p-[0-9a-f]{24}")


class Ids:
    """Makes ids `p-<12 hex: milliseconds><4 hex: counter><8 hex: this instance>`."""

    def __init__(self) -> None:
        self.instance = os.urandom(4).hex()
        self._last = 0
        self._count = 0

    def take(self, count: int) -> list[str]:
        """So many new ids, each later than all before; a clock set back does not repeat any."""
        now = time.time_ns() // 1_000_000
        if now > self._last:
            self._last, self._count = now, 0
        first = (self._last << 16) + self._count
        end = first + count
        self._last, self._count = end >> 16, end & 0xFFFF
        instance = self.instance
        return [f"p-{n:016x}{instance}" for n in range(first, end)]


def made_at(id: str) -> int | None:
    """When an id was made (milliseconds since 1970); None for one that a sender gave."""
    return int(id[2:14], 16) if _ID.fullmatch(id) else None
