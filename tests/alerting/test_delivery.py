"""At least once: what is due is a fact before it is sent, and stays due until a channel has taken it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from receivers import NOON, Receiver, Request, home_at, page, receiver

from keepfit.alerting.alert import update
from keepfit.alerting.outbox import deliveries, fill, messages, parcels
from keepfit.alerting.postman import Postman
from keepfit.alerting.settings import AlertSettings
from keepfit.core.clocks import ReplayClock, WallClock
from keepfit.home import Home
from keepfit.ledger import Query

WAIT = 20.0


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = home_at(tmp_path)
    yield found
    found.ledger.close()


def policy(*channels: str, **more: object) -> AlertSettings:
    return AlertSettings(to=list(channels), private=["127.0.0.1"], pages="99 per day", **more)  # type: ignore[arg-type]


def later(home: Home, length: timedelta) -> None:
    assert isinstance(home.clock, ReplayClock)
    home.clock.advance(home.clock.now() + length)


def send(home: Home, settings: AlertSettings) -> None:
    Postman(home, "shop").send_due(settings, within=WAIT)


def test_a_page_says_all_there_is_to_know_and_the_end_of_it_is_told(home: Home, server: Receiver) -> None:
    found = page(home)
    send(home, policy(server.url))
    send(home, policy(server.url))
    (got,) = server.got
    assert got.json["title"] == "[shop] parcels is old"
    for part in ("2024-06-03 12:00:00", "rows 3", "likely causes", "keepfit alerts ack", "roll back", got.json["id"]):
        assert part in got.json["long"], part
    assert got.json["faults"][0]["id"] == found.id
    update(home, "shop", [], kinds=["freshness"])
    send(home, policy(server.url))
    assert server.got[1].json["title"] == "[shop] resolved: parcels is old"
    assert [e.state for e in deliveries(home, "shop", messages(home, "shop"))[server.ids[0]]] == ["sent"]


def test_what_fails_is_tried_again_less_and_less_often(home: Home, server: Receiver) -> None:
    page(home)
    server.answer = 500
    settings = policy(server.url)
    for seconds, tries in ((0, 1), (29, 1), (1, 2), (59, 2), (1, 3)):
        later(home, timedelta(seconds=seconds))
        send(home, settings)
        assert len(server.got) == tries
    (waiting,) = parcels(home, "shop", settings)
    assert waiting.reason == "`127.0.0.1` answered 500"
    server.answer = 204
    later(home, timedelta(hours=1))
    send(home, settings)
    assert parcels(home, "shop", settings) == []
    assert len(set(server.ids)) == 1, "it is the same message each time"


def test_a_message_for_a_wrong_address_goes_to_the_right_one_once_that_is_known(home: Home, server: Receiver) -> None:
    page(home)
    send(home, policy("http://127.0.0.1:1/hook"))
    send(home, policy("http://127.0.0.1:1/hook", server.url))
    assert server.got == [], "who is added later hears of nothing old"
    send(home, policy(server.url))
    assert len(server.got) == 1
    assert parcels(home, "shop", policy(server.url)) == []


def test_a_channel_that_is_not_known_on_this_machine_is_left_to_one_that_knows_it(
    home: Home, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    page(home)
    send(home, policy("$TEAM_HOOK"))
    assert home.ledger.find(Query(kind="delivery")) == []
    monkeypatch.setenv("TEAM_HOOK", f"{server.url}/T0K3N#K3Y")
    send(home, policy("$TEAM_HOOK"))
    assert len(server.got) == 1
    told = b"".join(p.read_bytes() for p in (home.root / ".keepfit").glob("ledger.db*"))
    assert b"$TEAM_HOOK" in told
    assert b"T0K3N" not in told
    assert b"K3Y" not in told


def test_a_channel_that_hangs_delays_no_other(home: Home, server: Receiver) -> None:
    page(home)
    released, settings = threading.Event(), policy("http://127.0.0.1:{}/slow", "http://127.0.0.1:{}/fast")
    settings = policy(*(c.format(server.port) for c in settings.to))
    fast = threading.Event()

    def answer(request: Request) -> int:
        fast.set() if request.path == "/fast" else released.wait(WAIT)
        return 200

    server.answer = answer
    postman = Postman(home, "shop")
    postman.send_due(settings)
    assert fast.wait(WAIT)
    deadline = time.monotonic() + WAIT
    while len(parcels(home, "shop", settings)) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    postman.send_due(settings)
    assert [p.channel.rpartition("/")[2] for p in parcels(home, "shop", settings)] == ["slow"]
    Postman(home, "shop").send_due(settings, within=WAIT)  # as another process would
    released.set()
    postman.join(WAIT)
    assert parcels(home, "shop", settings) == []
    assert len(server.got) == 2, "what is still being sent is not sent a second time"


def test_two_that_look_at_once_make_one_message(tmp_path: Path) -> None:
    homes = [home_at(tmp_path) for _ in range(4)]
    page(homes[0])
    threads = [threading.Thread(target=fill, args=(h, "shop", policy("$TEAM"))) for h in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [m.form for m in messages(homes[0], "shop")] == ["page"]
    for h in homes:
        h.ledger.close()


SENDER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from receivers import home_at
from keepfit.alerting import outbox, postman
from keepfit.alerting.settings import AlertSettings
from keepfit.core.clocks import WallClock

def struck(owner, name, after):
    real = getattr(owner, name)
    def strike(*words, **more):
        if after:
            real(*words, **more)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, strike)

home = home_at(Path(sys.argv[2]), WallClock())
point = sys.argv[4]
if point != "answer":
    owner, name, after = {
        "message": (home.ledger, "append", False),
        "message kept": (outbox, "_message", False),
        "send": (postman, "send", False),
        "sent": (postman, "send", True),
        "record": (postman, "record", True),
    }[point]
    struck(owner, name, after)
settings = AlertSettings(to=[sys.argv[3]], private=["127.0.0.1"], pages="99 per day")
postman.Postman(home, "shop").send_due(settings, within=20)
"""
POINTS = {"message": 1, "message kept": 1, "send": 1, "answer": 2, "sent": 2, "record": 1}
"""Where the sender is killed -> how often a message arrives all in all."""


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_never_loses_a_message(point: str, tmp_path: Path, server: Receiver) -> None:
    home, settings = home_at(tmp_path, WallClock()), policy(server.url)
    page(home)
    words = [sys.executable, "-c", SENDER, str(Path(__file__).parent), str(tmp_path), server.url, point]
    with subprocess.Popen(words) as sender:

        def answer(request: Request) -> int:
            sender.kill()
            sender.wait()
            return 200

        server.answer = answer if point == "answer" else 200
        assert sender.wait(WAIT) == -9
    server.answer = 200
    send(home, settings)
    (told,) = messages(home, "shop")
    assert told.about == _opened(home)
    assert parcels(home, "shop", settings) == []
    assert server.ids == [told.id] * POINTS[point], "twice only when killed between the yes and its record"
    assert [d.state for d in deliveries(home, "shop", [told])[told.id]] == ["sent"]
    assert home.ledger.verify() is None
    home.ledger.close()


def _opened(home: Home) -> list[str]:
    return [f.id for f in home.ledger.find(Query(kind="alert", limit=1000))]


def test_no_channel_no_message(home: Home) -> None:
    page(home)
    assert fill(home, "shop", AlertSettings()) == []
    assert home.clock.now() == NOON
