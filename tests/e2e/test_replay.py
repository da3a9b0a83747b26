"""The whole loop on a small project: served, watched, retrained; killed anywhere and run again, it ends the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import small_project

from keepfit.cli.opening import open_project
from keepfit.review import first_model_says
from keepfit.serving.log import read_log

REPLAY = ["up", "--replay", "--from", "2024-01-22", "--until", "2024-02-06", "--json"]


def keepfit(*words: str, cwd: Path, check: bool = True) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "keepfit", *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    assert not check or done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


def steady(review: Any) -> Any:
    """The review without what depends on how long things took."""
    return {k: v for k, v in review.items() if not k.startswith("probes")}


def predictions(folder: Path) -> pl.DataFrame:
    return read_log(folder / ".keepfit" / "serving" / "log").drop("time").sort("id")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = small_project.write(tmp_path_factory.mktemp("small") / "parcels")
    return folder, keepfit(*REPLAY, cwd=folder)


def test_every_parcel_was_answered(lived: tuple[Path, Any]) -> None:
    folder, review = lived
    sent = pl.read_parquet(folder / "data" / "parcels.parquet")["sent"]
    expected = sent.is_between(pl.datetime(2024, 1, 22), pl.datetime(2024, 2, 6), closed="left").sum()
    assert sum(m["served"] for m in review["months"]) == expected == predictions(folder).height
    assert sum(m["failed"] for m in review["months"]) == 0
    assert review["probes_failed"] == 0


def test_models_were_trained_and_judged(lived: tuple[Path, Any]) -> None:
    _, review = lived
    endings = [t["ending"] for t in review["trainings"]]
    assert endings[0] == "released"
    assert len(endings) == 3
    assert set(endings) <= {"released", "refused"}


def test_served_and_offline_agree_bit_for_bit(lived: tuple[Path, Any]) -> None:
    project, home = open_project(lived[0])
    rows = predictions(lived[0])
    by_first = (rows["version"] == 1).to_numpy()
    assert by_first.sum() > 100
    offline = first_model_says(project, home, rows)
    assert (offline[by_first] == rows["prediction"].to_numpy()[by_first]).all()


def test_a_prediction_leads_back_to_its_sources(lived: tuple[Path, Any]) -> None:
    folder, _ = lived
    links = keepfit("why", predictions(folder)["id"][0], "--json", cwd=folder)
    kinds = [link["kind"] for link in links]
    assert kinds == ["prediction", "release", "model", "run", "data", "data", "data", "code", "environment"]


def test_who_was_live(lived: tuple[Path, Any]) -> None:
    folder, _ = lived
    assert keepfit("who-was-live", "--at", "2024-01-25", "--json", cwd=folder)["version"] == 1
    before = subprocess.run(
        [sys.executable, "-m", "keepfit", "who-was-live", "--at", "2023-01-01"], cwd=folder, capture_output=True
    )
    assert before.returncode == 3


def test_the_same_replay_again_does_nothing(lived: tuple[Path, Any]) -> None:
    folder, review = lived
    assert steady(keepfit(*REPLAY, cwd=folder)) == steady(review)


def test_the_status_is_one_screen(lived: tuple[Path, Any]) -> None:
    folder, _ = lived
    text = keepfit("status", cwd=folder, check=False)
    assert "in production  parcel@" in text
    assert "next " in text
    assert len(text.splitlines()) < 25


def test_killed_anywhere_and_run_again_it_ends_the_same(lived: tuple[Path, Any], tmp_path: Path) -> None:
    folder, whole = small_project.write(tmp_path / "parcels"), lived
    chance = random.Random(11)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "keepfit", *REPLAY],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(2, 9))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    again = keepfit(*REPLAY, cwd=folder)
    assert steady(again) == steady(whole[1])
    columns = ["id", "event_time", "version", "prediction"]
    assert predictions(folder).select(columns).equals(predictions(whole[0]).select(columns))


def test_the_log_tells_what_happened_newest_first(lived: tuple[Path, Any]) -> None:
    folder, review = lived
    releases = keepfit("log", "--kind", "release", "--json", cwd=folder)
    promoted = [t for t in review["trainings"] if t["ending"] == "released"]
    assert len(releases) == len(promoted)
    assert releases[-1]["text"] == "version 1: nothing is in production"
    everything = keepfit("log", "--limit", "100000", "--json", cwd=folder)
    kinds = {event["kind"] for event in everything}
    assert kinds >= {"data", "run", "model", "package", "verdict", "release", "window", "trigger", "outcome"}
    january = keepfit("log", "--since", "2024-01-22", "--until", "2024-01-23", "--json", cwd=folder)
    assert january
    assert all(event["time"].startswith("2024-01-22") for event in january)
    assert keepfit("log", "--by", "nobody", "--json", cwd=folder) == []
