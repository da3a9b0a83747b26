"""Whether the loop still looks: it leaves the time of each look in a file, which goes when it stops as it should."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from keepfit.alerting.settings import AlertSettings
from keepfit.core.clocks import age, duration, iso

_FILE = "loop.beat"


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """When the loop last began something or found all well."""

    time: datetime
    doing: str = ""
    """What it began; empty when all was well."""


def beat(folder: Path, doing: str = "") -> None:
    """Say that the loop is at work. Nothing is lost when the power is: it need not last, and may fail."""
    content = msgspec.json.encode(Beat(time=datetime.now(UTC), doing=doing))
    with contextlib.suppress(OSError):
        fd = os.open(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(fd, content.ljust(200), 0)  # one write of one length: a reader never sees half of it
        finally:
            os.close(fd)


def last_beat(folder: Path) -> Beat | None:
    """The newest one; None when no loop runs here that was not stopped."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Beat)
    except (OSError, msgspec.MsgspecError):
        return None


def stuck(beat: Beat | None, settings: AlertSettings) -> str | None:
    """Why the loop counts as stuck, if it does."""
    length = datetime.now(UTC) - beat.time if beat else timedelta()
    if beat is None or length < duration(settings.stalled):
        return None
    doing = f"; it was at: {beat.doing}" if beat.doing else ""
    return f"it has not looked for {age(length)}, since {iso(beat.time)}{doing}"


def rest(folder: Path) -> None:
    """Say that the loop has stopped as it should."""
    with contextlib.suppress(OSError):
        (folder / _FILE).unlink(missing_ok=True)
