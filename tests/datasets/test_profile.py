"""One profile: adding up parts gives the profile of the whole, and what it says of a table is so."""

from __future__ import annotations

import functools
import math
from datetime import datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.datasets import tally as tallying
from keepfit.datasets.explore import look
from keepfit.datasets.part import Gauge, Part
from keepfit.datasets.profile import Profile, profile, profile_of
from keepfit.datasets.sketch import BLOCKS, LIMIT, Sketch, add_sketches, sketch_numbers, sketch_texts
from keepfit.datasets.tally import Tally, add, tally, tally_all

NUMBERS = (
    st.floats(-1e100, 1e100)
    | st.sampled_from([math.inf, -math.inf, math.nan])
    | st.integers(-5, 5).map(float)
    | st.none()
)


def same(first: Tally, second: Tally) -> None:
    assert first.rows == second.rows and first.length == second.length and first.thin == second.thin
    assert first.columns.keys() == second.columns.keys()
    for name, one in first.columns.items():
        two = second.columns[name]
        assert one.sketches.keys() == two.sketches.keys()
        for part, sketch in one.sketches.items():
            equal(sketch, two.sketches[part])
        mine, other = one.moments, two.moments
        assert (mine.size, mine.least, mine.most) == (other.size, other.least, other.most)
        scale = max(abs(mine.least or 0.0), abs(mine.most or 0.0), 1.0)
        assert mine.mean == pytest.approx(other.mean, abs=1e-12 * scale)
        assert mine.squares == pytest.approx(other.squares, rel=1e-9, abs=1e-12 * mine.size * scale**2)
    assert first.sample.sort("keepfit hash").equals(second.sample.sort("keepfit hash"))


def equal(one: Sketch, two: Sketch) -> None:
    assert one.grain == two.grain
    assert one.counts.sort("block", "key").equals(two.counts.sort("block", "key"))


@given(
    values=st.lists(st.tuples(st.integers(0, 4000), NUMBERS, st.none() | st.text(max_size=3)), max_size=60),
    data=st.data(),
)
def test_what_is_counted_of_two_tables_adds_up_to_that_of_both(
    values: list[tuple[int, float | None, str | None]], data: st.DataObject
) -> None:
    days, numbers, texts = (list(v) for v in zip(*values, strict=True)) if values else ([], [], [])
    frame = pl.DataFrame(
        {"at": [datetime(2020, 1, 1) + timedelta(days=d) for d in days], "x": numbers, "t": texts},
        schema={"at": pl.Datetime("us"), "x": pl.Float64, "t": pl.String},
    )
    cut = data.draw(st.integers(0, frame.height))
    parts = tally(frame.head(cut), time="at"), tally(frame.slice(cut), time="at")
    same(add(*parts), tally(frame, time="at"))
    same(add(parts[1], parts[0]), tally(frame, time="at"))


@pytest.mark.parametrize("seed", range(4))
def test_large_tables_add_up_too_in_whatever_parts(seed: int) -> None:
    random, rows = np.random.default_rng(seed), 60_000
    frame = pl.DataFrame(
        {
            "at": pl.Series(random.integers(0, 700, rows)).cast(pl.Int64) * tallying.DAY,
            "wide": random.normal(size=rows) * 10.0 ** random.integers(-9, 9, rows),
            "narrow": 290 + random.random(rows),
            "whole": random.integers(0, 100_000, rows),
            "kind": pl.Series(random.integers(0, 40, rows)).cast(pl.String),
            "id": pl.Series(random.integers(0, 10**9, rows)).cast(pl.String),
        }
    ).with_columns(pl.col("at").cast(pl.Datetime("us")))
    cuts = sorted(random.integers(0, rows, 3).tolist())
    parts = [tally(f, time="at") for f in (frame[: cuts[0]], frame[cuts[0] : cuts[1]], frame[cuts[1] :])]
    whole = tally(frame, time="at")
    same(functools.reduce(add, parts), whole)
    assert all(s.counts["key"].n_unique() <= LIMIT for c in whole.columns.values() for s in c.sketches.values())
    assert len(whole.rows) <= BLOCKS
    small = msgspec.json.encode(profile_of(whole, time="at"))
    assert len(small) < 100_000


@given(st.lists(NUMBERS, max_size=50), st.lists(NUMBERS, max_size=50), st.lists(NUMBERS, max_size=50))
def test_adding_sketches_is_associative(a: list[float | None], b: list[float | None], c: list[float | None]) -> None:
    one, two, three = (sketch_numbers(pl.Series(v, dtype=pl.Float64)) for v in (a, b, c))
    equal(add_sketches(add_sketches(one, two), three), add_sketches(one, add_sketches(two, three)))


def test_texts_without_end_are_counted_about_right() -> None:
    found = sketch_texts(pl.Series([f"id {i}" for i in range(100_000)]))
    assert not found.whole
    assert found.distinct == pytest.approx(100_000, rel=0.2)
    assert sketch_texts(pl.Series(["a", "b", "a", None])).distinct == 2


def test_a_profile_says_what_a_table_is_like() -> None:
    random, rows = np.random.default_rng(1), 30_000
    x = random.normal(10, 2, rows)
    frame = pl.DataFrame(
        {
            "at": [datetime(2024, 1, 1) + timedelta(minutes=30 * i) for i in range(rows)],
            "x": x,
            "like_x": x + random.normal(0, 0.5, rows),
            "kind": random.choice(["a", "b", "c"], rows, p=[0.7, 0.2, 0.1]),
            "yes": random.random(rows) < 0.3,
            "nothing": pl.Series([None] * rows, dtype=pl.Float64),
        }
    ).with_columns(x=pl.when(pl.int_range(pl.len()) % 10 > 0).then(pl.col("x")))
    found = profile(frame, time="at")
    assert found.rows == rows and len(found.blocks) <= BLOCKS and found.blocks[0] == "2023-12-29"  # eight days
    column = found.column("x")
    assert column and column.missing == rows // 10 and column.kind == "number"
    value = column.part("value")
    assert value and value.mean == pytest.approx(10, abs=0.1) and value.sd == pytest.approx(2, abs=0.05)
    assert column.gaps == pytest.approx([0.1] * len(found.blocks), abs=0.01)
    kind = found.column("kind")
    assert kind and kind.kind == "level" and kind.distinct == 3 and kind.parts[1].levels == ["a", "b", "c"]
    assert next(t.correlation for t in found.together if {t.first, t.second} == {"x", "like_x"}) > 0.8
    nothing = found.column("nothing")
    assert nothing and nothing.missing == rows
    spreads = [c.spread for c in found.contrasts if c.frequent and not c.other]
    assert 0.6 < float(np.mean(spreads)) < 1.6
    assert msgspec.json.decode(msgspec.json.encode(found), type=Profile) == found


def test_blocks_that_differ_are_told_from_chance() -> None:
    random, days, rows = np.random.default_rng(2), 50, 400
    day = np.repeat(np.arange(days), rows)
    frame = pl.DataFrame(
        {
            "at": pl.Series(day).cast(pl.Int64) * tallying.DAY,
            "steady": random.normal(size=days * rows),
            "daily": random.normal(size=days * rows) + random.normal(0, 0.5, days)[day],
            "slow": random.normal(size=days * rows) + np.sin(day / 8)[:] * 0.3,
        }
    ).with_columns(pl.col("at").cast(pl.Datetime("us")))
    found = {(c.column, c.what): c.spread for c in profile(frame, time="at").contrasts}
    assert found["steady", "mean"] < 2
    assert found["daily", "mean"] > 30
    assert found["slow", "mean"] > 60  # neighbours are alike: it wanders


def test_an_empty_table_and_one_of_a_single_row_have_a_profile() -> None:
    empty = profile(pl.DataFrame(schema={"x": pl.Float64, "t": pl.String}))
    assert empty.rows == 0 and [c.name for c in empty.columns] == ["x", "t"]
    one = profile(pl.DataFrame({"x": [1.0], "t": ["a"], "l": [[1]], "f": [float("inf")]}))
    assert [c.name for c in one.columns] == ["x", "t", "f"]
    assert "<svg" in look(pl.DataFrame({"x": [1.0, 2.0], "t": ["a", "b"]}), label="t").html()


def test_a_table_read_in_batches_is_profiled_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"x": np.random.default_rng(3).normal(size=5_000), "t": ["a", "b"] * 2_500})
    whole = tally_all(frame)
    monkeypatch.setattr(tallying, "BATCH", 640)
    same(tally_all(frame), whole)
    same(tally_all(frame.lazy()), whole)


def test_the_page_stays_small_and_fetches_nothing() -> None:
    random = np.random.default_rng(4)
    wide = pl.DataFrame({f"column <{i}>": random.normal(size=300) for i in range(400)})
    page = look(wide, label="column <0>").html()
    assert len(page.encode()) < 1_000_000
    assert "<script" not in page and "http:" not in page and "https:" not in page and "column <1>" not in page


def test_figures_are_standard_and_never_beyond_what_chance_allows() -> None:
    random = np.random.default_rng(5)
    numbers = Gauge(Part(what="value", counts=[0, 500, 300, 150, 50, 0], edges=[0.0, 1.0, 2.0, 3.0, 4.0]))
    drawn = random.multinomial(300, [0, 0.5, 0.3, 0.15, 0.05, 0], size=4000)
    found = numbers.figures(drawn)
    assert found.mean(axis=0) == pytest.approx([0] * found.shape[1], abs=0.1)
    assert found[:, :3].std(axis=0) == pytest.approx([1, 1, 1], abs=0.1)
    rare = Gauge(Part(what="missing", levels=["missing"], counts=[0, 100_000]))
    assert rare.figures(np.array([1, 999]))[0] < 3.5
    assert rare.figures(np.array([20, 980]))[0] > 10
    assert np.isnan(rare.figures(np.array([0, 0]))[0])


def test_what_gives_the_label_away_is_told_and_what_explains_it_ranked() -> None:
    random = np.random.default_rng(6)
    y = random.random(4000) < 0.4
    frame = pl.DataFrame(
        {"leak": y.astype(float), "helps": y + random.normal(size=4000), "noise": random.random(4000), "y": y}
    )
    found = look(frame, label="y")
    assert list(found.suspects) == ["leak"]
    assert [r.column for r in found.relations] == ["leak", "helps", "noise"]
    assert found.relations[0].explained > 0.99 and found.relations[2].explained < 0.01
