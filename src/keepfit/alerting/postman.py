"""Bringing what is in the outbox to its channels, each in a thread of its own: one that hangs delays no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from keepfit.alerting.channel import is_here
from keepfit.alerting.message import Message
from keepfit.alerting.outbox import Parcel, fill, parcels, record
from keepfit.alerting.send import send
from keepfit.alerting.settings import AlertSettings
from keepfit.core.errors import DeliveryError, KeepfitError
from keepfit.core.files import locked
from keepfit.home import Home

LOCK = "outbox.lock"


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


class Postman:
    """Sends for one process; of several on a machine, one at a time does."""

    def __init__(self, home: Home, name: str, tell: Callable[[str], None] = lambda text: None) -> None:
        self._home, self._name, self._tell = home, name, tell
        self._busy: dict[str, threading.Thread] = {}

    def send_due(self, settings: AlertSettings, *, within: float = 0.0) -> None:
        """Put what is due into the outbox, begin to send it, and wait so many seconds for that to end.

        Never raises what a channel does: that is recorded, and tried again later.
        """
        fill(self._home, self._name, settings)
        with locked(self._home.folder / LOCK, wait=False) as mine:
            if mine:
                self._begin(settings)
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

    def _begin(self, settings: AlertSettings) -> None:
        now = self._home.clock.now()
        waiting: dict[str, list[Parcel]] = {}
        for parcel in parcels(self._home, self._name, settings):
            if parcel.next <= now and is_here(self._home.root, parcel.channel):
                waiting.setdefault(parcel.channel, []).append(parcel)
        for channel, found in waiting.items():
            self.run(channel, partial(self._bring, found, settings.private))

    def _bring(self, found: list[Parcel], private: list[str]) -> None:
        for parcel in found:
            try:
                send(self._home.root, parcel.channel, parcel.message, private)
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
