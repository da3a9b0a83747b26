"""The thread of `up` that sends alerts and tells that all is well, whatever the loop and the channels are at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from keepfit.alerting.alert import update
from keepfit.alerting.channel import address_of
from keepfit.alerting.heartbeat import last_beat, stuck
from keepfit.alerting.postman import Postman
from keepfit.alerting.settings import AlertSettings
from keepfit.alerting.webhook import ping
from keepfit.core.errors import DeliveryError, KeepfitError
from keepfit.home import Home
from keepfit.monitoring.symptom import Symptom

EVERY = 5.0
"""Seconds between looks."""
PATIENCE = 60.0
"""Seconds the endpoint may not answer: so long a restart may take."""
HEARTBEAT = 60.0
_KINDS = ("service", "loop")


class Keeper:
    """Looks every few seconds: does the endpoint answer, does the loop look, what is due?"""

    def __init__(
        self,
        home: Home,
        name: str,
        settings: Callable[[], AlertSettings],
        *,
        url: Callable[[], str],
        tell: Callable[[str], None],
    ) -> None:
        self._home, self._name, self._settings, self._url = home, name, settings, url
        self._told = set[str]()
        self._tell_all = tell
        self._postman = Postman(home, name, self._tell)
        self._stop = threading.Event()
        self._answered, self._pinged = time.monotonic(), time.monotonic() - HEARTBEAT
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def stop(self, within: float = 5.0) -> None:
        """Look no more; what is being sent has so many seconds to end."""
        self._stop.set()
        self._thread.join(within)
        self._postman.join(within)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look(self._settings())
            except KeepfitError as problem:
                self._tell(problem.message)
            except Exception as problem:  # this thread is the last that may end
                self._tell(f"alerts: {type(problem).__name__}: {problem}")
            self._stop.wait(EVERY)

    def _look(self, settings: AlertSettings) -> None:
        self._postman.run("endpoint", self._ask)
        found = [s for s in (self._silent_endpoint(), self._stuck_loop(settings)) if s]
        update(self._home, self._name, found, kinds=_KINDS)
        self._postman.send_due(settings)
        if settings.heartbeat and not found and time.monotonic() - self._pinged >= HEARTBEAT:
            self._pinged = time.monotonic()
            address, private = address_of(self._home.root, settings.heartbeat), settings.private
            self._postman.run("heartbeat", lambda: ping(address, private))

    def _ask(self) -> None:
        url = self._url()
        try:
            ping(f"{url}/health/live", [url.partition("://")[2].rpartition(":")[0]])
            self._answered = time.monotonic()
        except DeliveryError:
            pass  # how long it has been so is what counts

    def _silent_endpoint(self) -> Symptom | None:
        if time.monotonic() - self._answered < PATIENCE:
            return None
        text = f"the endpoint at {self._url()} does not answer"
        return Symptom(kind="service", place="endpoint", severity="page", text=text, hint="keepfit status")

    def _stuck_loop(self, settings: AlertSettings) -> Symptom | None:
        why = stuck(last_beat(self._home.folder), settings)
        text = f"the loop is stuck: {why}"
        return Symptom(kind="loop", severity="page", text=text, hint="keepfit status") if why else None

    def _tell(self, text: str) -> None:
        """Say a thing once; an endless fault is in the facts."""
        if text not in self._told:
            self._told.add(text)
            self._tell_all(text)
