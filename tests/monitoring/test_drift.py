"""Drift: the budget of false alarms is kept, and what has moved is found and named."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from keepfit.datasets.profile import Profile, profile
from keepfit.monitoring.drift import drift

COLUMNS = 10


def table(random: np.random.Generator, rows: int, shift: float = 0.0, day: np.ndarray | None = None) -> pl.DataFrame:
    common = np.zeros((rows, 1)) if day is None else day[:, None]
    numbers = random.normal(size=(rows, COLUMNS)) + common
    numbers[:, 3] += shift
    frame = pl.DataFrame({f"n{i}": numbers[:, i] for i in range(COLUMNS)})
    return frame.with_columns(kind=pl.Series(random.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1])))


def baseline(random: np.random.Generator, days: int, a_day: int, spread: float = 0.0) -> Profile:
    days_of = np.repeat(np.arange(days), a_day)
    frame = table(random, days * a_day, day=random.normal(0, spread, days)[days_of] if spread else None)
    return profile(frame, frame.columns, pl.Series(days_of))


@pytest.mark.parametrize("rows", [200, 500, 2000])
def test_the_budget_is_kept_when_nothing_changes(rows: int) -> None:
    random, alarms = np.random.default_rng(rows), 0
    for _ in range(10):
        past = baseline(random, 46, rows)
        alarms += sum(bool(drift(table(random, rows), past, 0.001)) for _ in range(40))
    assert alarms <= 3, f"{alarms} false alarms in 400 windows at 1 per 1000"


def test_days_that_differ_in_training_do_not_alarm() -> None:
    random = np.random.default_rng(5)
    past = baseline(random, 46, 300, spread=0.5)
    alarms = sum(
        bool(drift(table(random, 300, day=np.full(300, random.normal(0, 0.5))), past, 0.001)) for _ in range(100)
    )
    assert alarms <= 2


def test_the_column_that_moved_is_named_first() -> None:
    random = np.random.default_rng(6)
    past = baseline(random, 46, 2000)
    found = drift(table(random, 2000, shift=0.3), past, 0.001)
    assert found[0].column == "n3"
    assert found[0].what == "mean"
    assert found[0].found == pytest.approx(0.3, abs=0.1)


def test_a_level_that_takes_over_and_values_that_go_missing() -> None:
    random = np.random.default_rng(7)
    past = baseline(random, 46, 1000)
    moved = table(random, 1000).with_columns(
        kind=pl.lit("c"), n5=pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise(pl.col("n5"))
    )
    told = {(d.column, d.what) for d in drift(moved, past, 0.001)}
    assert {("kind", "share of c"), ("n5", "missing")} <= told


def test_what_is_rare_alarms_only_when_chance_cannot_explain_it() -> None:
    random = np.random.default_rng(10)
    past = baseline(random, 46, 900)

    def told(missing: int) -> list[str]:
        rows = table(random, 900)
        gone = pl.when(pl.int_range(pl.len()) < missing).then(None).otherwise(pl.col("n5"))
        return [d.what for d in drift(rows.with_columns(n5=gone), past, 0.001)]

    assert told(1) == []
    assert told(3) == []
    assert told(9) == ["missing"]


@pytest.mark.parametrize("share", [0.0002, 0.002, 0.02])
def test_the_budget_is_kept_for_what_is_rare(share: float) -> None:
    random, alarms = np.random.default_rng(11), 0
    for _ in range(10):
        seen = pl.DataFrame({"x": pl.Series(random.random(46 * 500) < share).cast(pl.Int8).replace(1, None)})
        past = profile(seen, ["x"], pl.Series(np.repeat(np.arange(46), 500)))
        for _ in range(40):
            now = pl.DataFrame({"x": pl.Series(random.random(500) < share).cast(pl.Int8).replace(1, None)})
            alarms += bool(drift(now, past, 0.001))
    assert alarms <= 2, f"{alarms} false alarms in 400 windows at 1 per 1000"


def test_few_rows_are_not_judged() -> None:
    random = np.random.default_rng(8)
    assert drift(table(random, 199, shift=5), baseline(random, 46, 500), 0.001) == []


def test_a_column_that_is_gone_counts_as_nothing_to_compare() -> None:
    random = np.random.default_rng(9)
    assert not drift(table(random, 500).drop("n3"), baseline(random, 46, 500), 0.001)
