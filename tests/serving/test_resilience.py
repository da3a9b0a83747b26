"""A model is always in production: exchanges, crashes, hangs, broken stores and full disks under load."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from serving_kit import (
    MODEL,
    Load,
    alive,
    ask,
    gateway,
    log_folder,
    open_home,
    package,
    predict,
    release,
    row,
    sent,
    until,
)

from keepfit.core.errors import ServingError
from keepfit.serving.endpoint import endpoint
from keepfit.serving.gateway import Running, start
from keepfit.serving.log import read_log
from keepfit.serving.records import Records
from keepfit.serving.settings import ServeSettings


def scorer(running: Running) -> int:
    return int(ask(running, "GET", "/model")["pid"])


def count(running: Running, name: str) -> float:
    lines = ask(running, "GET", "/metrics").splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"keepfit_{name} ")))


def logged(root: Path) -> list[str]:
    return [str(id) for id in read_log(log_folder(root))["id"]]


def test_models_are_exchanged_and_rolled_back_without_losing_a_request(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    packages = {version: package(home, version) for version in (1, 2, 3)}
    with gateway(tmp_path) as running:
        assert ask(running, "GET", "/model")["version"] is None
        assert sent(running, b"", path="/health/ready", method="GET") == (503, {"ready": False})
        status, answer = sent(running, {"rows": [row(1)]})
        assert (status, answer["error"]["code"]) == (503, "no-model")
        release(home, 1, packages[1])
        until(lambda: ask(running, "GET", "/model")["version"] == 1)  # noticed without being told
        load = Load(running)
        told: list[Any] = []

        def exchange() -> None:
            for version in (2, 3, 2, 3):
                release(home, version, packages[version])
                told.append(ask(running, "POST", "/control/sync"))
            release(home, 1, package(home, 1, wrong=True))
            told.append(ask(running, "POST", "/control/sync"))

        asyncio.run(load.during(exchange))
        assert [t["version"] for t in told] == [2, 3, 2, 3, 3]
        assert [t["previous"]["version"] for t in told] == [1, 2, 3, 2, 2]
        assert told[2]["pid"] == told[0]["pid"], "a model that is resident goes live at once"
        refused = told[4]["refused"]
        assert (refused["version"], refused["release"]) == (1, home.ledger.name(f"release/{MODEL}"))
        assert "golden rows" in refused["reason"]
        assert ask(running, "GET", "/model")["refused"] == refused
        release(home, 3, packages[3])
        back = ask(running, "POST", "/control/sync")
        assert (back["version"], back["pid"], back["previous"]["version"]) == (3, told[4]["pid"], 2)
        until(lambda: len(list((home.folder / "pins").iterdir())) == 3)
    assert load.wrong == []
    assert set(load.statuses) == {200}
    assert load.versions == {1, 2, 3}
    assert set(load.ids) <= set(logged(tmp_path))


def test_a_scorer_that_is_killed_costs_no_request(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with gateway(tmp_path) as running:
        load, victims = Load(running), []

        def murder() -> None:
            for _ in range(2):
                victims.append(until(lambda: (m := ask(running, "GET", "/model"))["ready"] and m["pid"]))
                os.kill(victims[-1], signal.SIGKILL)
                until(lambda: (m := ask(running, "GET", "/model"))["ready"] and m["pid"] not in victims)
                enough = len(load.ids) + 100
                until(lambda enough=enough: len(load.ids) > enough)

        asyncio.run(load.during(murder))
        assert count(running, "scorer_restarts_total") == 2
    assert load.wrong == []
    assert set(load.statuses) == {200}
    assert sorted(load.ids) == sorted(logged(tmp_path)), "each answer is logged once"


def test_a_gateway_waits_for_one_that_is_ending(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with gateway(tmp_path) as first:
        assert first.process.stdin
        first.process.stdin.close()  # as when whoever started it is killed
        with gateway(tmp_path) as second:
            assert ask(second, "POST", "/predict", {"rows": [row(1)]})["version"] == 1
        assert first.process.wait(30) == 0


def test_rows_that_kill_or_hang_the_model_fail_alone(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with gateway(tmp_path, hang="1s", patience="60s") as running:
        for note in ("die", "hang"):
            load = Load(running, 8)
            found = asyncio.run(load.during(lambda note=note: sent(running, {"rows": [row(1, note=note)]})))
            status, answer = found
            assert (status, answer["error"]["code"]) == (503, "unavailable")
            assert load.wrong == []
            assert set(load.statuses) == {200}


def test_the_previous_champion_answers_when_the_champion_cannot_come_back(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with gateway(tmp_path, patience="0.2s") as running:
        second = package(home, 2)
        release(home, 2, second)
        assert ask(running, "POST", "/control/sync")["previous"]["version"] == 1
        model = home.folder / "pins" / second[:16] / "model.skops"
        content = model.read_bytes()
        model.write_bytes(b"damaged")
        load = Load(running)

        def break_and_mend() -> None:
            os.kill(scorer(running), signal.SIGKILL)
            until(lambda: count(running, "previous_champion_rows_total") > 100)
            assert ask(running, "GET", "/health/ready") == {"ready": True}
            load.versions.discard(2)  # from before it was killed
            model.write_bytes(content)
            until(lambda: 2 in load.versions)

        asyncio.run(load.during(break_and_mend))
        assert load.wrong == []
        assert load.versions == {1, 2}
        assert ask(running, "POST", "/predict", {"rows": [row(1)]})["version"] == 2


def test_a_gateway_that_is_killed_is_back_by_itself_and_loses_neither_log_nor_labels_nor_leaves_processes(
    tmp_path: Path,
) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    running = start(tmp_path, MODEL, ServeSettings(port=0))
    try:
        load = Load(running, 8)
        child, first, url = scorer(running), running.process.pid, running.url
        troubles: list[str] = []
        running.keep(troubles.append)

        def kill() -> None:
            until(lambda: len(load.ids) > 200)
            labels = [{"id": id, "label": 1} for id in load.ids[:50]]
            ask(running, "POST", "/labels", {"labels": labels})
            os.kill(first, signal.SIGKILL)
            until(lambda: 0 in load.statuses)
            until(lambda: running.process.pid != first)

        asyncio.run(load.during(kill))
        assert set(load.statuses) == {200, 0}
        until(lambda: not alive(child))
        until(lambda: endpoint(home) is not None)
        assert (running.url, troubles) == (url, [])
        assert predict(running, row(1))[0]["prediction"] == 1001
        ask(running, "POST", "/control/sync")
        recovered = logged(tmp_path)
        assert len(recovered) == len(set(recovered))
        assert set(load.ids) <= set(recovered)
        with Records(home.folder / "serving" / "records.db") as records:
            assert len(records.labels_of(load.ids)) == 50
    finally:
        running.stop()
    assert not alive(running.process.pid)


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose versions 2 and 1 are pinned as champion and previous champion."""
    root = tmp_path_factory.mktemp("pinned")
    home = open_home(root)
    for version in (1, 2):
        release(home, version, package(home, version))
    with gateway(root) as running:
        assert ask(running, "GET", "/model")["version"] == 2
        until(lambda: ask(running, "GET", "/model")["previous"])
    home.ledger.close()
    return root


def test_what_is_pinned_answers_while_ledger_and_objects_are_down(pinned: Path, tmp_path: Path) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    shutil.copytree(pinned, root)
    away.mkdir()
    folder = root / ".keepfit"
    for path in [*folder.glob("ledger*"), folder / "objects"]:
        shutil.move(path, away / path.name)
    (folder / "ledger.db").write_bytes(b"damaged" * 1000)
    with gateway(root) as running:
        assert ask(running, "POST", "/predict", {"rows": [row(1)]})["version"] == 2
        assert until(lambda: ask(running, "GET", "/model")["previous"])["version"] == 1
        assert ask(running, "POST", "/control/sync")["problems"] != []
        (folder / "ledger.db").unlink()
        for path in away.iterdir():
            shutil.move(path, folder / path.name)
        home = open_home(root)
        release(home, 3, package(home, 3))
        told = until(lambda: (t := ask(running, "POST", "/control/sync"))["version"] == 3 and t)
        assert told["problems"] == []
        assert predict(running, row(1))[0]["prediction"] == 3001


@pytest.mark.parametrize("gone", [True, False])
def test_a_damaged_pin_is_fetched_again_or_gives_way_to_the_previous_champion(
    pinned: Path, tmp_path: Path, gone: bool
) -> None:
    root = tmp_path / "root"
    shutil.copytree(pinned, root)
    home = open_home(root)
    live = live_package(root)
    (home.folder / "pins" / live[:16] / "model.skops").write_bytes(b"damaged")
    if gone:
        home.objects.delete(live)
    with gateway(root) as running:
        assert ask(running, "POST", "/predict", {"rows": [row(1)]})["version"] == (1 if gone else 2)
        assert (ask(running, "GET", "/model")["refused"] is not None) == gone


def live_package(root: Path) -> str:
    """Digest of the package that is pinned as champion."""
    pinned = msgspec.json.decode((root / ".keepfit" / "pins" / "live.json").read_bytes())
    return str(pinned["champion"]["package"])


def test_a_full_disk_stops_no_answer(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    disk = log_folder(tmp_path)
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets us mount nothing")
    try:
        with gateway(tmp_path) as running:
            load = Load(running)
            asyncio.run(load.during(lambda: until(lambda: count(running, "log_dropped_rows_total") > 500)))
            assert load.wrong == []
            assert set(load.statuses) == {200}
            assert ask(running, "POST", "/control/sync")["version"] == 1
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


PARENT = """
import sys, time
from pathlib import Path
from keepfit.serving.gateway import start
from keepfit.serving.settings import ServeSettings
running = start(Path(sys.argv[1]), "toy", ServeSettings(port=0))
print(running.process.pid, running.url, running.token, flush=True)
time.sleep(1000)
"""


def test_a_gateway_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline().split()[0])
    assert endpoint(home).pid == pid  # type: ignore[union-attr]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(pid))
    assert endpoint(home) is None


def test_too_many_waiting_rows_are_sent_away_at_once(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with gateway(tmp_path, max_waiting=20) as running:

        async def check() -> list[tuple[int, Any]]:
            rows = {"rows": [row(1, note="slow")] * 15}
            return await asyncio.gather(*(asyncio.to_thread(sent, running, rows) for _ in range(6)))

        answers = asyncio.run(check())
        codes = {answer["error"]["code"] for status, answer in answers if status == 503}
        assert codes == {"busy"}
        assert any(status == 200 for status, _ in answers)


def test_a_model_whose_rows_influence_each_other_gets_them_one_by_one(tmp_path: Path) -> None:
    code = "def features(toys):\n    return toys.select(x=toys['x'].mean() * (toys['x'] * 0 + 1), huge=toys['x'] * 0)\n"
    home = open_home(tmp_path)
    release(home, 1, package(home, 1, code=code, expected=1005.5))
    with gateway(tmp_path) as running:
        told = ask(running, "GET", "/model")
        assert (told["version"], told["batches"]) == (1, False)
        assert [p["prediction"] for p in predict(running, row(1), row(2), row(9))] == [1001, 1002, 1009]


def test_a_gateway_that_cannot_start_says_why(tmp_path: Path) -> None:
    open_home(tmp_path)
    with gateway(tmp_path) as running:
        port = int(running.url.rpartition(":")[2])
        other = tmp_path / "other"
        other.mkdir()
        open_home(other)
        with pytest.raises(ServingError, match=f"cannot listen on 127.0.0.1:{port}"):
            start(other, MODEL, ServeSettings(port=port))
