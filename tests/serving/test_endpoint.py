"""Commands find the gateway, also one that is still starting."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from keepfit.cli.release import told
from keepfit.core.clocks import WallClock
from keepfit.core.files import locked
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import open_ledger
from keepfit.objects import open_objects
from keepfit.releases.release import Release
from keepfit.serving.endpoint import Endpoint, endpoint_file, sync

LIVE = {"version": 1, "release": "release-1", "package": "package-1", "refused": None}


class Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = msgspec.json.encode(LIVE)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    ledger = open_ledger("sqlite:.keepfit/ledger.db", tmp_path)
    objects = open_objects("folder:.keepfit/objects", tmp_path)
    return Home(root=tmp_path, ledger=ledger, objects=objects, engine=Here(), actor="ana")


def live(version: int) -> Release:
    return Release(
        id=f"release-{version}",
        model_name="m",
        version=version,
        time=WallClock().now(),
        reason="better",
        model=f"model-{version}",
        package=f"package-{version}",
        previous=None,
        actor="ana",
    )


def test_a_gateway_that_is_starting_is_waited_for(home: Home, url: str) -> None:
    holding = threading.Event()

    def start() -> None:
        with locked(home.folder / "serving" / "gateway.lock"):
            holding.set()
            time.sleep(0.3)
            endpoint_file(home.folder).write_bytes(msgspec.json.encode(Endpoint(url, os.getpid())))
            assert done.wait(30)

    done = threading.Event()
    starting = threading.Thread(target=start)
    starting.start()
    assert holding.wait(30)
    found = sync(home)
    assert found and found["version"] == 1
    same, other = told(home, live(1)), told(home, live(2))
    done.set()
    starting.join()
    assert (same.exit_code, same.text.splitlines()[-1]) == (0, "  the endpoint answers with version 1")
    assert (other.exit_code, other.text.splitlines()[-1]) == (3, "  the endpoint does not, it answers with version 1")


def test_one_that_has_ended_is_not(home: Home) -> None:
    endpoint_file(home.folder).parent.mkdir(parents=True, exist_ok=True)
    endpoint_file(home.folder).write_bytes(msgspec.json.encode(Endpoint("http://127.0.0.1:9", 1)))
    assert sync(home) is None
    assert told(home, live(1)).text.endswith("no endpoint is running: keepfit up")
