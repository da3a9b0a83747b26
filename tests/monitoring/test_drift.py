"""Drift: the budget of false alarms is kept, what has moved is found, named and told once, until it is back."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keepfit.datasets.profile import profile
from keepfit.home import Home
from keepfit.monitoring.baseline import Baseline
from keepfit.monitoring.drift import Drift, Past, drift, pack, unpack
from keepfit.monitoring.watch import _baseline
from keepfit.objects.folder import Folder
from keepfit.runs.run import Run

COLUMNS = 8
START = datetime(2024, 3, 1)
DAY = timedelta(days=1)
RATE = 0.001
Random = np.random.Generator


def table(random: Random, rows: int, *, shift: float = 0.0, daily: float = 0.0) -> pl.DataFrame:
    numbers = random.normal(size=(rows, COLUMNS)) + daily
    numbers[:, 3] += shift
    frame = pl.DataFrame({f"n{i}": numbers[:, i] for i in range(COLUMNS)})
    return frame.with_columns(
        kind=pl.Series(random.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1])),
        asked=pl.Series(random.integers(0, 86_400, rows)).cast(pl.Int64) * 1_000_000,
        note=pl.Series(random.integers(0, 10**6, rows)).cast(pl.String),
    ).with_columns(pl.col("asked").cast(pl.Datetime("us")))


def baseline(random: Random, days: int, a_day: int, spread: float = 0.0) -> Baseline:
    frames = [table(random, a_day, daily=random.normal(0, spread)) for _ in range(days)]
    at = pl.Series("at", np.repeat(np.arange(days), a_day)).cast(pl.Int64) * 86_400_000_000
    frame = pl.concat(frames).with_columns(at.cast(pl.Datetime("us")))
    return Baseline(profile(frame.drop("asked").with_columns(frame["asked"]), time="at"))


def follow(past: list[Past], rows: pl.DataFrame, known: Baseline, rate: float = RATE) -> Drift:
    """One more window, remembered in `past`."""
    start = past[-1].start + DAY if past else START
    past.append(Past(start=start, drift=drift(rows, start, known, past, rate)))
    return past[-1].drift


@pytest.mark.parametrize("rows", [200, 1000])
def test_the_budget_is_kept_when_nothing_changes(rows: int) -> None:
    random, told = np.random.default_rng(rows), set()
    for trial in range(3):
        known, past = baseline(random, 40, 500), list[Past]()
        for _ in range(40):
            told |= {(trial, m.column, m.told) for m in follow(past, table(random, rows), known).moved}
    assert not told


def test_days_that_differ_in_training_do_not_alarm() -> None:
    random, past = np.random.default_rng(5), list[Past]()
    known = baseline(random, 40, 300, spread=0.5)
    for _ in range(60):
        assert not follow(past, table(random, 300, daily=random.normal(0, 0.5)), known).moved


def test_a_column_that_moved_is_named_told_once_and_until_it_is_back() -> None:
    random, past = np.random.default_rng(6), list[Past]()
    known = baseline(random, 40, 1000)
    for _ in range(5):
        assert not follow(past, table(random, 1000), known).moved
    while not (found := follow(past, table(random, 1000, shift=0.3), known)).moved:
        assert len(past) < 8
    told = found.moved[0]
    assert (told.column, told.what, told.told_by) == ("n3", "mean", "mean")
    assert told.before == pytest.approx(0, abs=0.02) and told.after == pytest.approx(0.3, abs=0.1)
    assert told.since == START + 5 * DAY
    assert str(told).startswith("`n3`: mean ")
    for _ in range(12):  # it stays moved, and is told as it was
        (standing,) = follow(past, table(random, 1000, shift=0.3), known).moved
        assert (standing.told, standing.evidence) == (told.told, told.evidence)
    for _ in range(3):
        found = follow(past, table(random, 1000), known)
    assert not found.moved
    for _ in range(5):  # and what it was before it came back is no evidence any more
        assert not follow(past, table(random, 1000), known).moved
    found = follow(past, table(random, 1000, shift=-0.5), known)
    assert [m.column for m in found.moved] == ["n3"] and found.moved[0].since == past[-1].start


def test_while_one_is_told_another_is_found() -> None:
    random, past = np.random.default_rng(7), list[Past]()
    known = baseline(random, 40, 1000)
    for _ in range(3):
        follow(past, table(random, 1000, shift=1), known)
    gone = pl.when(pl.int_range(pl.len()) % 20 == 0).then(None).otherwise(pl.col("n5"))
    found = follow(past, table(random, 1000, shift=1).with_columns(n5=gone), known)
    assert {m.column for m in found.moved} == {"n3", "n5"}
    assert next(m for m in found.moved if m.column == "n5").what == "missing"


@pytest.mark.parametrize(
    ("change", "column", "what"),
    [
        (pl.col("n1") * 1.5, "n1", "spread"),
        (pl.col("n1").exp(), "n1", None),
        (pl.col("n1").abs(), "n1", None),
        (pl.lit("c").alias("kind"), "kind", None),
        (
            pl.when(pl.col("n1") > 2).then(pl.lit("new")).otherwise(pl.col("kind")).alias("kind"),
            "kind",
            "levels never seen",
        ),
        (
            pl.when(pl.col("kind") == "c").then(pl.lit("a")).otherwise(pl.col("kind")).alias("kind"),
            "kind",
            "share of c",
        ),
        ((pl.col("note") + "x").alias("note"), "note", None),
        ((pl.col("asked").dt.truncate("1d") + pl.duration(hours=3)).alias("asked"), "asked", None),
        ((pl.col("n1") * 0.6 + pl.col("n2") * 0.8).alias("n2"), "n1 and n2", "correlation with n2"),
        (pl.when(pl.col("n1") > 2).then(float("nan")).otherwise(pl.col("n1")).alias("n1"), "n1", "missing"),
    ],
)
def test_every_kind_of_change_is_found_and_the_right_column_is_first(
    change: pl.Expr, column: str, what: str | None
) -> None:
    random, past = np.random.default_rng(8), list[Past]()
    known = _known(8)
    for _ in range(2):
        found = follow(past, table(random, 2000).with_columns(change), known)
    assert found.moved[0].column == column, [str(m) for m in found.moved]
    assert what in (None, found.moved[0].what)


_KNOWN: dict[int, Baseline] = {}


def _known(seed: int) -> Baseline:
    if seed not in _KNOWN:
        _KNOWN[seed] = baseline(np.random.default_rng(100 + seed), 40, 1000)
    return _KNOWN[seed]


def test_a_window_watched_again_says_the_same() -> None:
    random, past = np.random.default_rng(9), list[Past]()
    for i in range(6):
        rows = table(random, 500, shift=0.2 * (i > 3))
        again = drift(rows, START + i * DAY, _known(8), list(past), RATE)
        assert follow(past, rows, _known(8)) == again


@given(arrays(np.float64, 20, elements=st.floats(-300, 300) | st.just(np.nan)))
def test_figures_are_kept_to_two_decimals(figures: np.ndarray) -> None:
    assert unpack(pack(figures)) == pytest.approx(figures, abs=0.005001, nan_ok=True)


@pytest.mark.parametrize("share", [0.0002, 0.002, 0.02])
@pytest.mark.parametrize("rows", [200, 2000])
def test_the_budget_is_kept_for_what_is_rare(share: float, rows: int) -> None:
    random, alarms = np.random.default_rng(11), 0
    for _ in range(8):
        gone = pl.Series(random.random(40 * 500) < share)
        seen = pl.DataFrame({"x": gone.cast(pl.Int8).replace(1, None), "level": gone.cast(pl.String)})
        known, past = Baseline(profile(seen)), list[Past]()
        for _ in range(40):
            gone = pl.Series(random.random(rows) < share)
            now = pl.DataFrame({"x": gone.cast(pl.Int8).replace(1, None), "level": gone.cast(pl.String)})
            alarms += any(m.told == past[-1].start for m in follow(past, now, known).moved)
    assert alarms == 0


def test_one_odd_day_in_training_does_not_make_the_next_an_alarm() -> None:
    random = np.random.default_rng(12)
    gaps = np.where(np.arange(40) == 20, 0.1, 0.0).repeat(500)
    at = pl.Series(np.arange(40).repeat(500)).cast(pl.Int64) * 86_400_000_000
    seen = pl.DataFrame({"x": random.normal(size=20_000)}).with_columns(at=at.cast(pl.Datetime("us")))
    seen = seen.with_columns(x=pl.when(pl.Series(random.random(20_000) >= gaps)).then(pl.col("x")))
    now = pl.DataFrame({"x": random.normal(size=500)})
    now = now.with_columns(x=pl.when(pl.Series(random.random(500) >= 0.1)).then(pl.col("x")))
    assert not follow([], now, Baseline(profile(seen, time="at"))).moved


def test_few_rows_are_not_judged_and_what_was_told_stays() -> None:
    random, past = np.random.default_rng(13), list[Past]()
    assert follow(past, table(random, 199, shift=5), _known(8)) == Drift()
    told = follow(past, table(random, 500, shift=5), _known(8)).moved
    assert [m.column for m in told][:1] == ["n3"]
    assert follow(past, table(random, 20), _known(8)).moved == told
    assert not follow([], table(random, 500, shift=5), baseline(random, 4, 200)).moved


def test_a_column_that_is_gone_is_nothing_to_compare() -> None:
    random = np.random.default_rng(14)
    assert not follow([], table(random, 500).drop("n3"), _known(8)).moved


def test_a_baseline_of_an_early_version_is_held_against_nothing(tmp_path: Path) -> None:
    objects = Folder(tmp_path / "objects")
    digest = objects.put(b'{"blocks": 31, "columns": {"x": {"mean": 1.0}}}')
    home = cast(Home, SimpleNamespace(objects=objects))
    run = cast(Run, SimpleNamespace(outputs={"baseline.json": digest}))
    found = drift(pl.DataFrame({"x": [0.0] * 1000}), START, _baseline(home, run), [], 0.001)
    assert (found.rows, found.moved) == (0, [])
