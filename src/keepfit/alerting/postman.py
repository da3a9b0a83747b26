"""Bringing what is in the outbox to its channels, each in a thread of its own: one that hangs delays no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from keepfit.alerting.channel import missing, name_of
from keepfit.alerting.message import Message
from keepfit.alerting.outbox import Parcel, fill, parcels, record
from keepfit.alerting.send import send
from keepfit.alerting.settings import AlertSettings
from keepfit.core.clocks import iso
from keepfit.core.digests import digest_bytes
from keepfit.core.errors import DeliveryError, KeepfitError
from keepfit.core.files import locked
from keepfit.home import Home


def send_at_once(home: Home, settings: AlertSettings, message: Message, *, within: float) -> dict[str, str | None]:
    """Send a message to every channel, past the outbox; channel -> why it did not take it, None if it did."""
    outcomes: dict[str, str | None] = dict.fromkeys(settings.channels, f"no answer within {within:g} s")

    def one(channel: str) -> None:
        try:
            send(home.root, channel, message, settings.private)
            outcomes[channel] = None
        except DeliveryError as problem:
            outcomes[channel] = _told(problem)

    postman = Postman(home, "")
    for channel in settings.channels:
        postman.run(channel, partial(one, channel))
    postman.join(within)
    return dict(outcomes)


def backlog(home: Home, name: str, settings: AlertSettings) -> list[str]:
    """A line for each channel that has not taken everything: how much, and why."""
    found: dict[str, list[Parcel]] = {}
    for parcel in parcels(home, name, settings):
        found.setdefault(parcel.channel, []).append(parcel)
    lines = []
    for channel, waiting in found.items():
        worst = max(waiting, key=lambda p: p.failures)
        count = f"{len(waiting)} message{'s' if len(waiting) > 1 else ''} not taken by {name_of(channel)}"
        tried = f"tried {worst.failures} times, again at {iso(worst.next)}: {worst.reason}" if worst.failures else ""
        why = tried or missing(home.root, channel)
        lines.append(f"{count}: {why}" if why else f"{count} yet")
    return lines


class Postman:
    """Sends for one process; of several on a machine, one at a time is at a channel."""

    def __init__(self, home: Home, name: str, tell: Callable[[str], None] = lambda text: None) -> None:
        self._home, self._name, self._tell = home, name, tell
        self._busy: dict[str, threading.Thread] = {}

    def send_due(self, settings: AlertSettings, *, within: float = 0.0) -> None:
        """Put what is due into the outbox, begin to send it, and wait so many seconds for that to end.

        Never raises what a channel does: that is recorded, and tried again later.
        """
        fill(self._home, self._name, settings)
        for channel in dict.fromkeys(p.channel for p in self._due(settings)):
            self.run(channel, partial(self._bring, settings, channel))
        self.join(within)

    def run(self, key: str, work: Callable[[], None]) -> None:
        """Do something in a thread of its own, unless the last such thing is still going on."""
        if (last := self._busy.get(key)) and last.is_alive():
            return
        self._busy[key] = threading.Thread(target=self._guarded, args=(work,), name=f"alerts {key}", daemon=True)
        self._busy[key].start()

    def join(self, within: float) -> None:
        """Wait for what is going on, at most so many seconds altogether."""
        end = time.monotonic() + within
        for thread in self._busy.values():
            thread.join(max(0.0, end - time.monotonic()))

    def _due(self, settings: AlertSettings) -> list[Parcel]:
        now, root = self._home.clock.now(), self._home.root
        found = [p for p in parcels(self._home, self._name, settings) if p.next <= now]
        return [p for p in found if missing(root, p.channel) is None]

    def _bring(self, settings: AlertSettings, channel: str) -> None:
        lock = self._home.folder / "outbox" / digest_bytes(channel.encode())[:16]
        with locked(lock, wait=False) as mine:
            for parcel in self._due(settings) if mine else ():
                if parcel.channel == channel:
                    self._send(settings, parcel)

    def _send(self, settings: AlertSettings, parcel: Parcel) -> None:
        try:
            send(self._home.root, parcel.channel, parcel.message, settings.private)
            reason = None
        except DeliveryError as problem:
            reason = _told(problem)
            self._tell(f"an alert was not delivered: {reason}")
        record(self._home, self._name, parcel, reason)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except KeepfitError as problem:
            self._tell(problem.message)


def _told(problem: DeliveryError) -> str:
    return problem.message + (f"; {problem.hint}" if problem.hint else "")
