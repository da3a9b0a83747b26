"""Servers that messages are really sent to, and a place to send them from."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from keepfit.alerting.alert import Alert, update
from keepfit.core.clocks import Clock, ReplayClock
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import open_ledger
from keepfit.monitoring.symptom import Symptom, SymptomKind
from keepfit.objects import open_objects

NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came in, and what is answered: a status, or a function that gives one."""

    port: int = 0
    answer: int | Callable[[Request], int] = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [r.headers["webhook-id"] for r in self.got]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A web server on this machine."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            found.got.append(request)
            status = found.answer if isinstance(found.answer, int) else found.answer(request)
            try:
                self.send_response(status)
                for name, value in {**found.headers, "content-length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()
            except OSError:
                pass  # the sender was killed

        do_POST = do_GET = _take

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def home_at(root: Path, clock: Clock | None = None) -> Home:
    return Home(
        root=root,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", root),
        objects=open_objects("folder:.keepfit/objects", root),
        engine=Here(),
        actor="ana",
        clock=clock or ReplayClock(NOON),
    )


def page(home: Home, kind: SymptomKind = "freshness", place: str = "parcels") -> Alert:
    """Open an alert that pages at once; it stands beside the others."""
    symptom = Symptom(kind=kind, place=place, severity="page", text=f"{place} is old", evidence={"rows": 3})
    return update(home, "shop", [symptom], kinds=[])[0]
