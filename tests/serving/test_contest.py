"""Which requests a model on trial gets: the same keys always, and about as many as its share says."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from keepfit.datasets.dataset import Column
from keepfit.serving.contest import place
from keepfit.serving.explain import step
from keepfit.serving.signature import Signature

COLUMNS = {
    "n": Column(type="number"),
    "i": Column(type="integer"),
    "at": Column(type="timestamp"),
    "day": Column(type="date"),
    "name": Column(type="text"),
    "yes": Column(type="bool"),
}
TYPES: list[Any] = [pl.Float64, pl.Int64, pl.Datetime("us"), pl.Date, pl.String, pl.Boolean]
SALT = bytes(32)


@given(st.text() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_takes_all_that_a_smaller_one_takes(key: Any, one: float, other: float) -> None:
    at = place(SALT, key)
    assert 0 <= at < 1
    assert at == place(SALT, key)
    if at < min(one, other):
        assert at < max(one, other)


def test_a_share_is_about_as_large_as_it_says() -> None:
    for salt in (SALT, b"\1" * 32):
        places = [place(salt, f"customer {n}") for n in range(4000)]
        for share in (0.05, 0.25, 0.5):
            assert abs(sum(p < share for p in places) / len(places) - share) < 0.03
    assert place(SALT, "a") != place(b"\1" * 32, "a"), "another model has other customers"


@given(
    st.tuples(
        st.floats(-1e6, 1e6) | st.none(),
        st.integers(-(2**53), 2**53) | st.none(),
        st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),
        st.dates(date(1970, 1, 1), date(2100, 1, 1)),
        st.text(max_size=5),
        st.booleans(),
    )
)
def test_a_key_is_the_same_whatever_form_its_row_came_in(row: tuple[Any, ...]) -> None:
    signature = Signature(COLUMNS)
    frame = pl.DataFrame(
        [row],
        schema=[*zip(COLUMNS, TYPES, strict=True)],
        orient="row",
    )
    as_table = signature.frame(frame, lambda row, name: f"${step(name or '')}", 10).good
    for column in range(len(COLUMNS)):
        assert signature.first(as_table, column) == signature.first([row], column)
