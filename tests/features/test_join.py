"""The rule of time, held against the plainest statement of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.datasets.dataset import Column, Dataset
from keepfit.features.join import align

ZERO = datetime(2024, 1, 1)
KEYS = st.sampled_from(["a", "b", "c", None])
MOMENTS = st.integers(0, 50)


def side(delay: str | None = None, *, timed: bool = True) -> Dataset:
    columns = {"key": Column(type="category", role="key"), "value": Column(type="integer")}
    if timed:
        columns["at"] = Column(type="timestamp", role="event time")
    return Dataset(name="side", source="side.parquet", columns=columns, known_after=delay)


def time(minutes: int) -> datetime:
    return ZERO + timedelta(minutes=minutes)


@settings(max_examples=200, deadline=None)
@given(
    main=st.lists(st.tuples(KEYS, MOMENTS), max_size=20),
    rows=st.lists(st.tuples(KEYS, MOMENTS), max_size=30, unique=True),
    delay=st.integers(0, 10),
)
def test_each_row_sees_the_last_row_known_by_then(
    main: list[tuple[str | None, int]], rows: list[tuple[str | None, int]], delay: int
) -> None:
    left = pl.DataFrame(
        {"key": [k for k, _ in main], "when": [time(t) for _, t in main]},
        schema={"key": pl.String, "when": pl.Datetime("us")},
    )
    right = pl.DataFrame(
        {"key": [k for k, _ in rows], "value": list(range(len(rows))), "at": [time(t) for _, t in rows]},
        schema={"key": pl.String, "value": pl.Int64, "at": pl.Datetime("us")},
    )
    found = align(left, "when", side(f"{delay}m"), right)
    assert found.columns == ["key", "value", "at"]
    expected = []
    for key, when in main:
        seen = [(t, i) for i, (k, t) in enumerate(rows) if key is not None and k == key and t + delay <= when]
        expected.append(max(seen)[1] if seen else None)
    assert found["value"].to_list() == expected


@given(main=st.lists(KEYS, max_size=20), rows=st.lists(KEYS, max_size=20))
def test_without_a_time_the_last_row_of_the_key_wins(main: list[str | None], rows: list[str | None]) -> None:
    left = pl.DataFrame({"key": main}, schema={"key": pl.String})
    right = pl.DataFrame({"key": rows, "value": range(len(rows))}, schema={"key": pl.String, "value": pl.Int64})
    found = align(left, None, side(timed=False), right)
    last = {k: i for i, k in enumerate(rows) if k is not None}
    assert found["value"].to_list() == [last.get(k) if k is not None else None for k in main]


def test_a_row_without_a_time_sees_nothing() -> None:
    left = pl.DataFrame(
        {"key": ["a", "a"], "when": [None, time(9)]}, schema={"key": pl.String, "when": pl.Datetime("us")}
    )
    right = pl.DataFrame({"key": ["a"], "value": [1], "at": [time(1)]}).cast({"at": pl.Datetime("us")})
    assert align(left, "when", side(), right)["value"].to_list() == [None, 1]
