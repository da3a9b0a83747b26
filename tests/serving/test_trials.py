"""A challenger beside the champion: mirrored or answering a share, measured, and stopped before a client is harmed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_kit import (
    CODE,
    INPUTS,
    MODEL,
    Load,
    ask,
    gateway,
    log_folder,
    open_home,
    package,
    predict,
    release,
    rollout,
    row,
    talk,
    until,
)

from keepfit.datasets.dataset import Column
from keepfit.home import Home
from keepfit.serving.conduct import Standing
from keepfit.serving.desired import pinned
from keepfit.serving.endpoint import conduct
from keepfit.serving.gateway import Running
from keepfit.serving.log import read_log
from keepfit.serving.settings import GuardLimits

PATIENCE = 120.0
"""Seconds for what takes loading a model, on a machine that is busy."""
NO_BAKE = GuardLimits(bake="0s")
SICK = {
    "raises": 'raise ValueError("secret")',
    "not finite": 'return toys.select(x=pl.col("x"), huge=pl.lit(1e6))',
    "dies": "os._exit(9)",
}


def sick(code: str) -> str:
    """The kit's features, which do this as soon as a row says that it is `live`: golden rows do not."""
    return CODE.replace(
        '    for note in toys["note"]',
        f'    if "live" in toys["note"].to_list():\n        {code}\n    for note in toys["note"]',
    )


def sync(running: Running) -> Any:
    return ask(running, "POST", "/control/sync")


def ready(running: Running) -> Any:
    """The challenger, once it is loaded."""
    sync(running)
    return until(lambda: (c := ask(running, "GET", "/model")["challenger"]) and c["ready"] and c, PATIENCE)


def standing(home: Home) -> Standing:
    return conduct(home)[-1]


def stopped(home: Home) -> str:
    return str(until(lambda: (all := conduct(home)) and all[-1].stopped, PATIENCE))


def live(x: float, **other: Any) -> dict[str, Any]:
    return row(x, **{"note": "live", **other})


@contextlib.contextmanager
def without_ledger(home: Home) -> Iterator[None]:
    home.ledger.close()
    away = home.folder / "away"
    away.mkdir()
    for path in home.folder.glob("ledger*"):
        shutil.move(path, away / path.name)
    (home.folder / "ledger.db").write_bytes(b"damaged" * 1000)
    yield
    (home.folder / "ledger.db").unlink()
    for path in away.iterdir():
        shutil.move(path, home.folder / path.name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A project whose version 1 is live."""
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    return home


def test_a_shadow_sees_what_the_champion_answers_and_nobody_sees_its_answers(home: Home) -> None:
    with gateway(home.root, guard=NO_BAKE) as running:
        bodies = [
            {"rows": [row(x + 0.1 * n) for x in range(1 + n % 7)], "ids": [f"a{n}.{i}" for i in range(1 + n % 7)]}
            for n in range(40)
        ]
        alone = [talk(running, "/predict?log=off", body).body for body in bodies]
        rollout(home, 2, package(home, 2), "shadow")
        challenger = ready(running)
        assert (challenger["version"], challenger["stage"], challenger["share"]) == (2, "shadow", 1.0)
        assert [talk(running, "/predict", body).body for body in bodies] == alone
        rows = sum(len(b["rows"]) for b in bodies)
        found = until(lambda: (s := standing(home)).challenger.compared == rows and s)
        assert (found.stage, found.version, found.beside, found.stopped) == ("shadow", 2, 1, None)
        seen = found.challenger
        assert (seen.rows, seen.requests, seen.different, seen.faults, seen.dropped) == (rows, 40, rows, 0, 0)
        assert (seen.largest_difference, seen.mean_difference) == (pytest.approx(1000), pytest.approx(1000))
        assert seen.memory > 0
        assert sum(map(sum, seen.seconds)) > 0
        page = ask(running, "GET", "/metrics")
        assert f'keepfit_route_compared{{route="shadow"}} {rows}' in page.replace("_total", "")
        assert f"keepfit_rows_total {2 * rows}" in page, "of those that were answered"
        assert f"versions/{2}" not in str(talk(running, f"/v2/models/{MODEL}", None).json)
        sync(running)
    mirrored = read_log(home.folder / "serving" / "shadow").sort("id")
    answered = read_log(log_folder(home.root)).sort("id")
    assert mirrored["id"].to_list() == answered["id"].to_list()
    assert (mirrored["prediction"] - answered["prediction"]).to_list() == pytest.approx([1000] * rows)
    assert set(mirrored["route"]) == {"shadow"}
    assert set(answered["route"]) == {"champion"}


def test_a_share_of_the_rows_is_mirrored(home: Home) -> None:
    rollout(home, 2, package(home, 2), "shadow", 0.25, key="place")
    with gateway(home.root) as running:
        ready(running)
        for n in range(200):
            predict(running, row(n, place=f"p{n % 50}"))
        until(lambda: standing(home).challenger.rows > 0)
        sync(running)
    mirrored = read_log(home.folder / "serving" / "shadow")
    assert 2 <= mirrored["place"].n_unique() <= 25
    assert mirrored.height == 4 * mirrored["place"].n_unique(), "all rows of a key, or none"


def test_the_same_keys_meet_the_challenger_and_a_larger_share_only_adds_some(home: Home) -> None:
    digest = package(home, 2)
    with gateway(home.root, guard=NO_BAKE) as running:

        def asked() -> dict[str, int]:
            versions: dict[str, int] = {}
            for n in range(60):
                place = f"p{n}"
                one = ask(running, "POST", "/predict", {"rows": [row(n, place=place), row(n)]})
                other = ask(running, "POST", "/invocations", {"dataframe_records": [row(n, place=place)]})
                assert other["predictions"] == [one["predictions"][0]["prediction"]]
                assert one["predictions"][1]["prediction"] == 1000 * one["version"] + n
                versions[place] = one["version"]
            return versions

        pids, takers = [], []
        for share in (0.2, 0.6, 1.0):
            rollout(home, 2, digest, "canary", share, key="place")
            pids.append(ready(running)["pid"])
            until(lambda share=share: standing(home).share == share)
            takers.append({place for place, version in asked().items() if version == 2})
        assert takers[0] < takers[1] < takers[2]
        assert len(takers[2]) == 60
        assert 3 <= len(takers[0]) <= 24
        assert len(set(pids)) == 1, "a share is exchanged without loading anything"
        heard = talk(running, "/predict?explain=route", {"rows": [row(1)]}).headers
        assert (heard["keepfit-route"], heard["keepfit-version"]) == ("canary", "2")
        rollout(home, 2, digest, "promoted", live=True)
        told = sync(running)
        assert (told["version"], told["pid"], told["challenger"]) == (2, pids[0], None)
        assert told["previous"]["version"] == 1
        assert conduct(home) == []


def test_no_request_fails_or_gets_anothers_answer_while_the_challenger_dies(home: Home) -> None:
    rollout(home, 2, package(home, 2), "canary", 0.5)
    with gateway(home.root, guard=GuardLimits(restarts=100)) as running:
        ready(running)
        load = Load(running)

        def murder() -> None:
            for _ in range(2):
                os.kill(ready(running)["pid"], signal.SIGKILL)
                enough = len(load.ids) + 100
                until(lambda enough=enough: len(load.ids) > enough)

        asyncio.run(load.during(murder))
        sync(running)
        assert standing(home).challenger.restarts >= 1
    assert load.wrong == []
    assert set(load.statuses) == {200}
    assert load.versions == {1, 2}
    logged = read_log(log_folder(home.root))
    assert sorted(load.ids) == sorted(logged["id"]), "each answer is logged once"
    assert set(logged.select("route", "version").iter_rows()) == {("champion", 1), ("canary", 2)}


def test_a_shadow_that_dies_all_the_time_costs_no_answer(home: Home) -> None:
    rollout(home, 2, package(home, 2), "shadow")
    with gateway(home.root) as running:
        ready(running)
        load = Load(running)

        def murder() -> None:
            while ask(running, "GET", "/model")["challenger"]:
                if (challenger := ask(running, "GET", "/model")["challenger"]) and challenger["pid"]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(challenger["pid"], signal.SIGKILL)

        asyncio.run(load.during(murder))
        assert "died, or hung" in stopped(home)
    assert load.wrong == []
    assert set(load.statuses) == {200}
    assert load.versions == {1}


@pytest.mark.parametrize(
    ("kind", "reason"), [("raises", "no answer to"), ("not finite", "no finite number"), ("dies", "died, or hung")]
)
@pytest.mark.parametrize("stage", ["shadow", "canary", "bake"])
def test_a_model_that_misbehaves_is_stopped_and_no_client_sees_it(
    home: Home, stage: str, kind: str, reason: str
) -> None:
    digest = package(home, 2, code=sick(SICK[kind]))
    with gateway(home.root, guard=GuardLimits(restarts=0)) as running:
        if stage == "bake":
            release(home, 2, digest)
            until(lambda: (told := sync(running))["version"] == 2 and told["previous"])
        else:
            rollout(home, 2, digest, stage)
            ready(running)
        answers = []

        def again() -> bool:
            answers.append(ask(running, "POST", "/predict", {"rows": [live(5), live(6)]}))
            return bool(conduct(home)[-1].stopped)

        until(again, PATIENCE)
        assert reason in stopped(home)
        answers.append(ask(running, "POST", "/predict", {"rows": [live(5), live(6)]}))
        assert {(a["version"], *(p["prediction"] for p in a["predictions"])) for a in answers} == {(1, 1005, 1006)}
        found = standing(home)
        assert (found.stage, found.version, found.beside) == (stage, 2, 1)
        told = sync(running)
        assert (told["version"], told["challenger"], told["previous"]) == (1, None, None)
    logged = read_log(log_folder(home.root))
    assert set(logged["version"]) == {1}
    assert set(logged["prediction"]) == {1005, 1006}


@pytest.mark.parametrize("stage", ["canary", "bake"])
def test_a_restart_does_not_try_again_what_was_stopped(home: Home, stage: str) -> None:
    digest = package(home, 2, code=sick(SICK["raises"]))
    release(home, 2, digest) if stage == "bake" else rollout(home, 2, digest, stage)
    with gateway(home.root) as running:
        until(lambda: conduct(home), PATIENCE)
        until(lambda: predict(running, live(5)) and conduct(home)[-1].stopped, PATIENCE)
        until(lambda: (home.folder / "pins" / "stopped.json").exists())
        found = standing(home)
    with contextlib.ExitStack() as stack:
        with without_ledger(home):
            running = stack.enter_context(gateway(home.root))
            told = ask(running, "GET", "/model")
            assert (told["version"], told["challenger"]) == (1, None), "what was stopped is not tried again"
            assert predict(running, live(5))[0]["prediction"] == 1005
        told = until(lambda: not (t := sync(running))["problems"] and t, PATIENCE)
        assert (told["version"], told["challenger"]) == (1, None)
        assert conduct(home) == [found]


def test_rows_that_fail_with_every_model_are_nobodys_fault(home: Home) -> None:
    rollout(home, 2, package(home, 2), "canary")
    with gateway(home.root) as running:
        ready(running)
        for _ in range(10):
            status = talk(running, "/predict", {"rows": [row(1, note="raise")]}).status
            assert status == 422
            assert [p.get("prediction") for p in predict(running, row(1), row(2, note="inf"))] == [2001, None]
        seen = standing(home).challenger
        assert (seen.requests, seen.faults, seen.not_finite) == (20, 0, 0)


def test_a_challenger_that_wants_what_clients_do_not_send_is_stopped(home: Home) -> None:
    with gateway(home.root) as running:
        rollout(home, 2, package(home, 2, inputs=dict(reversed(INPUTS.items()))), "canary")
        ready(running)
        assert predict(running, row(1))[0]["prediction"] == 2001
        rollout(home, 3, package(home, 3, inputs={**INPUTS, "n": Column(type="integer")}), "canary")
        until(lambda: ready(running)["version"] == 3)
        answers = {predict(running, row(1))[0]["prediction"] for _ in range(20)}
        assert answers == {1001}
        assert "no answer to" in stopped(home)


def test_a_challenger_that_hangs_keeps_nobody_waiting_for_long(home: Home) -> None:
    rollout(home, 2, package(home, 2, code=sick("time.sleep(1000)")), "canary")
    with gateway(home.root, guard=GuardLimits(restarts=0), hang="1s", patience="0.3s") as running:
        ready(running)
        predict(running, row(1))
        assert predict(running, live(5))[0]["prediction"] == 1005
        assert "died, or hung" in stopped(home)


def test_a_challenger_that_does_not_prove_itself_is_stopped_before_it_sees_a_row(home: Home) -> None:
    rollout(home, 2, package(home, 2, wrong=True), "canary")
    with gateway(home.root) as running:
        assert "golden rows" in stopped(home)
        assert predict(running, row(1))[0]["prediction"] == 1001
        made = rollout(home, 3, package(home, 3), "canary")
        assert ready(running)["release"] == made.id


def test_a_restart_without_a_ledger_goes_on_with_the_same_split(home: Home) -> None:
    made = rollout(home, 2, package(home, 2), "canary", 0.5, key="place")

    def split(running: Running) -> list[int]:
        ready(running)
        return [ask(running, "POST", "/predict", {"rows": [row(1, place=f"p{n}")]})["version"] for n in range(30)]

    with gateway(home.root) as running:
        before = split(running)
        assert set(before) == {1, 2}
    assert pinned(home.folder / "pins" / "live.json").challenger.id == made.id  # type: ignore[union-attr]
    shutil.move(home.folder / "objects", home.folder / "gone")
    with without_ledger(home), gateway(home.root) as running:
        assert split(running) == before


def test_from_shadow_to_canary_to_the_end(home: Home) -> None:
    digest = package(home, 2)
    rollout(home, 2, digest, "shadow")
    with gateway(home.root, guard=NO_BAKE) as running:
        ready(running)
        load = Load(running, 8)

        def stages() -> None:
            until(lambda: standing(home).challenger.compared > 20)
            rollout(home, 2, digest, "canary", 0.5)
            until(lambda: ready(running)["stage"] == "canary")
            until(lambda: 2 in load.versions)
            rollout(home, 2, digest, "ended", 0.0)
            assert sync(running)["challenger"] is None
            load.versions.clear()
            until(lambda: len(load.versions) > 0)

        asyncio.run(load.during(stages))
        assert load.wrong == []
        assert set(load.statuses) == {200}
        assert load.versions <= {1, 2}
        assert predict(running, row(1))[0]["prediction"] == 1001
        until(lambda: len(list((home.folder / "pins").glob("*/"))) == 1)


def test_a_new_champion_that_is_healthy_stays(home: Home) -> None:
    with gateway(home.root) as running:
        release(home, 2, package(home, 2))
        until(lambda: (told := sync(running))["version"] == 2 and told["previous"])
        load = Load(running)
        asyncio.run(load.during(lambda: until(lambda: len(load.ids) > 600)))
        assert load.wrong == []
        assert load.versions == {2}
        found = standing(home)
        assert (found.stage, found.stopped, found.challenger.faults) == ("bake", None, 0)
        assert found.challenger.requests >= 600
