"""`keepfit alerts` and `keepfit status`, as people use them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from receivers import Receiver, home_at, page, receiver

from keepfit.alerting.heartbeat import Beat, beat, last_beat, rest, stuck
from keepfit.alerting.keeper import Keeper
from keepfit.alerting.settings import AlertSettings
from keepfit.cli.run import run
from keepfit.core.clocks import WallClock
from keepfit.core.errors import ProjectError
from keepfit.project import load_project

TOML = """
model = "shop"

[data.parcels]
from = "parcels.csv"
late = { type = "bool", role = "label" }
weight = { type = "number" }

[train]
fit = "shop:train"

[check]
tests = "."

[alerts]
"""


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "keepfit.toml").write_text(TOML)
    (tmp_path / "shop.py").write_text("def train(X, y, seed):\n    pass\n")
    (tmp_path / "parcels.csv").write_text("late,weight\ntrue,1\nfalse,2\n")
    return tmp_path


def settings(root: Path, text: str) -> None:
    (root / "keepfit.toml").write_text(f'{TOML}private = ["127.0.0.1"]\n{text}')


@pytest.fixture
def keepfit(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    def call(*words: str) -> tuple[int, Any]:
        code = run(words[0], [*words[1:], "--project", str(root)])
        out = capsys.readouterr()
        return code, json.loads(out.out) if "--json" in words else out.out + out.err

    return call


def test_an_alert_from_its_first_sign_to_its_last(
    root: Path, server: Receiver, keepfit: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPFIT_ACTOR", "ben")
    settings(root, f'to = ["{server.url}"]')
    home = home_at(root, WallClock())
    found, other = page(home), page(home, "freshness", "weather")
    code, told = keepfit("watch")
    assert code == 3
    assert [r.json["form"] for r in server.got] == ["page"]
    code, told = keepfit("alerts")
    assert code == 3
    assert "parcels is old" in told
    assert "pages in the last 7d: 1 of 3" in told
    assert keepfit("alerts", "ack", found.id[:12], "--note", "on it")[0] == 0
    assert keepfit("alerts", "ack", "freshness/parcels")[1].startswith("freshness/parcels: known to ben")
    assert keepfit("alerts", "silence", other.id, "--for", "2h")[0] == 0
    told = keepfit("alerts")[1]
    assert "known to ben" in told
    assert "silenced until" in told
    assert keepfit("alerts", "silence", "freshness/weather", "--for", "0s")[1].strip().endswith("is told of again")
    assert "silenced" not in keepfit("alerts")[1]
    code, shown = keepfit("alerts", "show", found.id, "--json")
    assert shown["alert"]["acknowledged"]["note"] == "on it"
    assert [d["state"] for m in shown["messages"] for d in m["deliveries"]] == ["sent"]
    assert "known to ben" in keepfit("status")[1]
    log = [e["kind"] for e in keepfit("log", "--json")[1]]
    assert log == ["silence", "silence", "acknowledged", "delivery", "message", "alert", "alert"]
    home.ledger.close()


def test_every_channel_is_tried_and_told_of(
    root: Path, server: Receiver, keepfit: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, told = keepfit("alerts", "test")
    assert code == 2
    assert 'hint: [alerts] to = ["$TEAM_SLACK"]' in told
    monkeypatch.setenv("BAD", "slack://T0K3N")
    settings(root, f'to = ["{server.url}", "$NOWHERE", "$BAD"]\ndigest_to = ["http://127.0.0.1:1/T0K3N"]')
    code, told = keepfit("alerts", "test")
    assert code == 1
    assert "the environment has no `NOWHERE`; export NOWHERE=..." in told
    assert "http://127.0.0.1:1/*** (" in told
    assert "Connection refused" in told
    assert "T0K3N" not in told
    assert len(server.got) == 1
    settings(root, f'to = ["{server.url}"]')
    assert list(keepfit("alerts", "test", "--json")[1]["channels"].values()) == [None]
    assert keepfit("alerts", "test")[0] == 0


def test_what_is_not_delivered_is_told(root: Path, keepfit: Callable[..., tuple[int, Any]]) -> None:
    settings(root, 'to = ["http://127.0.0.1:1/hook", "$NOWHERE"]')
    home = home_at(root, WallClock())
    page(home)
    code, told = keepfit("watch")
    assert code == 3
    assert "warning: an alert was not delivered: `127.0.0.1` cannot be reached: Connection refused" in told
    for verb in ("alerts", "status"):
        told = keepfit(verb)[1]
        assert "1 message not taken by $NOWHERE: the environment has no `NOWHERE`" in told
        assert "tried 1 times" in told
    home.ledger.close()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("ack", "alert-nope"), 1, "there is no alert `alert-nope`"),
        (("silence", "drfit", "--for", "2h"), 1, "did you mean `drift`?"),
        (("silence", "drift", "--for", "2"), 2, "`2` is not a duration"),
        (("silence", "drift", "--for", "15d"), 2, 'silence = ["drift"] in keepfit.toml'),
        (("show", "alert-nope"), 1, "keepfit alerts --all"),
    ],
)
def test_wrong_words(
    words: tuple[str, ...], code: int, told: str, root: Path, keepfit: Callable[..., tuple[int, Any]]
) -> None:
    found, text = keepfit("alerts", *words)
    assert (found, told in text) == (code, True), text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('to = ["slack://T/A/B"]', "keepfit.toml:17:7: a secret of `slack://` does not belong into keepfit.toml"),
        ('to = "$TEAM"', "`to` must be a list"),
        ('pages = "3 a week"', "17:1: `3 a week` is not a page budget\n"),
        ('pages = "3 per fortnight"', "`fortnight` is not a duration"),
        ('digest = "08:00 Europe/Berln"', "`Europe/Berln` is not a time zone"),
        ('after = { performance = "3 of 2" }', "is not so many of so many windows"),
        ('after = { retraining = "1 of 2" }', "`retraining` is not looked for window by window"),
        ('escalate = "4h"', "`escalate` tells nobody"),
        ('escalate_to = ["$BOSS"]', "nothing says when to tell"),
        ('silence = ["drfit"]', "did you mean `drift`?"),
        ('heartbeat = "mailto://x"', "`mailto` cannot be asked for"),
        ('heartbeat = "https://example.com/#x"', "a secret of `https://`"),
        ('stalled = "0s"', "`0s` is no time at all"),
        ('budget = "3 per week"', "`budget` is not known in [alerts]"),
    ],
)
def test_wrong_settings_are_told_with_their_place(line: str, told: str, root: Path) -> None:
    settings(root, line)
    with pytest.raises(ProjectError) as problem:
        load_project(root)
    assert told in f"{problem.value.where}: {problem.value.message}\n{problem.value.hint}"
    assert "keepfit.toml:17:" in str(problem.value)


def test_a_loop_that_does_not_look_is_told(root: Path, keepfit: Callable[..., tuple[int, Any]]) -> None:
    home = home_at(root, WallClock())
    assert last_beat(home.folder) is None
    beat(home.folder, "train")
    beat(home.folder)
    found = last_beat(home.folder)
    assert found
    assert found.doing == ""
    assert stuck(found, AlertSettings()) is None
    old = Beat(time=datetime.now(UTC) - timedelta(hours=2), doing="train")
    assert "it has not looked for 2h" in (stuck(old, AlertSettings()) or "")
    (home.folder / "loop.beat").write_bytes(msgspec.json.encode(old))
    code, told = keepfit("status")
    assert code == 3
    assert "it was at: train" in told
    rest(home.folder)
    assert "it was at" not in keepfit("status")[1]
    home.ledger.close()


def test_the_keeper_sends_and_beats_while_all_is_well(
    root: Path, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepfit.alerting.keeper.EVERY", 0.02)
    monkeypatch.setattr("keepfit.alerting.keeper.HEARTBEAT", 0.0)
    home, heard = home_at(root, WallClock()), list[str]()
    url = server.url.removesuffix("/hook")
    policy = AlertSettings(to=[server.url], private=["127.0.0.1"], heartbeat=f"{url}/beat")
    seen = lambda: {r.path for r in server.got}  # noqa: E731
    keeper = Keeper(home, "shop", lambda: policy, url=lambda: url, tell=heard.append)
    page(home)
    _until(lambda: seen() >= {"/hook", "/beat", "/health/live"})
    monkeypatch.setattr("keepfit.alerting.keeper.PATIENCE", -1.0)
    _until(lambda: any("does not answer" in r.body.decode() for r in server.got))
    server.got.clear()
    _until(lambda: "/health/live" in seen())
    assert "/beat" not in seen(), "whoever waits for it must hear nothing now"
    keeper.stop()
    assert heard == []
    home.ledger.close()


def _until(met: Callable[[], bool]) -> None:
    import time

    end = time.monotonic() + 20
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)
