"""What is read of a challenger: its answers in the logs beside the champion's, as far as the truth is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from keepfit.models.task import Task
from keepfit.releases.evidence import Evidence, Reference
from keepfit.releases.observe import measured, read_evidence, read_probation
from keepfit.releases.rollout import Rollout, Where
from keepfit.serving.log import OWN
from keepfit.serving.records import Records
from keepfit.serving.segments import write_segment

START = datetime(2024, 6, 1, tzinfo=UTC)
ROWS = 3000
TESTED = {"brier": 0.2, "accuracy": 0.8, "mae": 1.0}


def rollout(stage: Where, since: datetime = START) -> Rollout:
    return Rollout(
        id="rollout-1",
        model_name="m",
        version=2,
        stage=stage,
        share=0.5,
        key=None,
        number=0,
        stages=["shadow 1h"],
        begun=since,
        time=since,
        reason="",
        actor="",
        plan="",
        model="",
        package="",
        champion="",
    )


def write(folder: Path, log: str, ids: list[int], version: list[int], predictions: pl.Series, hours: float = 0) -> None:
    """Answers, one each second from START on."""
    times = [START.replace(tzinfo=None) + timedelta(hours=hours, seconds=i) for i in ids]
    own = {"id": [f"p{i}" for i in ids], "time": times, "event_time": times}
    rows = pl.DataFrame(own | {"model": "m", "version": version, "release": "r"}).cast(
        {name: kind for name, kind in OWN.items() if name in (*own, "model", "version", "release")}
    )
    (folder / "serving" / log).mkdir(parents=True, exist_ok=True)
    number = f"{len(list((folder / 'serving' / log).glob('*'))):012x}-a"
    write_segment(folder / "serving" / log, rows.with_columns(predictions.alias("prediction")), number[:12], "f" * 12)


def label(folder: Path, truth: pl.Series, ids: list[int]) -> None:
    with Records(folder / "serving" / "records.db") as records:
        records.store_labels({("", f"p{i}"): truth[i] for i in ids}, 1)


def made(task: Task, lot: np.random.Generator, worse: bool) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Truth, a good model's answers, and those of another that is as good, or worse."""
    noise = 0.3 if worse else 0.0
    if task == "regression":
        truth = lot.normal(0, 5, ROWS)
        return (
            pl.Series(truth),
            pl.Series(truth + lot.normal(0, 1, ROWS)),
            pl.Series(truth + lot.normal(noise * 9, 1, ROWS)),
        )
    chance = lot.random(ROWS)
    truth = lot.random(ROWS) < chance
    if task == "binary":
        return pl.Series(truth), pl.Series(chance), pl.Series(np.clip(chance + lot.normal(0, noise, ROWS), 0, 1))
    level = np.array(["a", "b"])
    good = (chance > 0.5).astype(int)
    other = np.where(lot.random(ROWS) < noise, 1 - good, good)
    return pl.Series(level[truth.astype(int)]), pl.Series(level[good]), pl.Series(level[other])


@pytest.mark.parametrize("worse", [False, True])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_worse_challenger_is_found_in_shadow(tmp_path: Path, task: Task, worse: bool) -> None:
    truth, good, other = made(task, np.random.default_rng(1), worse)
    ids = list(range(ROWS))
    write(tmp_path, "log", ids, [1] * ROWS, good)
    write(tmp_path, "shadow", ids[:2500], [2] * 2500, other[:2500])
    by = measured(task, TESTED, None)
    before = read_evidence(tmp_path, rollout("shadow"), 1, by, None)
    assert (before.rows, before.labelled, before.loss, before.worse) == (2500, 0, None, False)
    label(tmp_path, truth, ids[:2000])
    seen = read_evidence(tmp_path, rollout("shadow"), 1, by, "NaN")
    assert (seen.rows, seen.labelled, seen.stopped, seen.worse) == (2500, 2000, "NaN", worse)
    assert seen.loss is not None and seen.reference is not None
    if worse:
        assert seen.loss > seen.reference.loss
    assert read_evidence(tmp_path, rollout("shadow", START + timedelta(days=1)), 1, by, None) == Evidence()


@pytest.mark.parametrize("worse", [False, True])
def test_and_where_each_request_is_answered_by_one(tmp_path: Path, worse: bool) -> None:
    lot = np.random.default_rng(2)
    truth, good, other = made("regression", lot, worse)
    ids, mine = list(range(ROWS)), lot.random(ROWS) < 0.2
    answers = pl.Series(np.where(mine, other, good))
    write(tmp_path, "log", ids, [2 if m else 1 for m in mine], answers)
    label(tmp_path, truth, ids)
    seen = read_evidence(tmp_path, rollout("canary"), 1, measured("regression", TESTED, None), None)
    assert seen.rows == mine.sum()
    assert seen.worse == worse
    in_blocks = read_evidence(tmp_path, rollout("canary"), 1, measured("regression", TESTED, "1m"), None)
    assert in_blocks.worse == worse
    assert 1 / in_blocks.against != pytest.approx(1 / seen.against)


def test_a_champion_is_held_to_the_one_before(tmp_path: Path) -> None:
    truth, good, other = made("binary", np.random.default_rng(3), True)
    ids = list(range(ROWS))
    write(tmp_path, "log", ids, [2] * ROWS, other)
    label(tmp_path, truth, ids)
    loss = float(((truth.cast(pl.Float64) - good) ** 2).mean() or 0)
    promoted = msgspec.structs.replace(rollout("promoted"), reference=Reference(loss=loss, error=0.005))
    by = measured("binary", {"brier": loss}, None)
    assert read_probation(tmp_path, promoted, START, {}, by, None).worse
    assert read_probation(tmp_path, rollout("promoted"), START, {"brier": loss}, by, None).worse
    assert not read_probation(tmp_path, rollout("promoted"), START, {"brier": 0.4}, by, None).worse
    assert not read_probation(tmp_path, promoted, START + timedelta(days=1), {}, by, None).worse
