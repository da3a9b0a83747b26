"""A full disk is a full disk, whoever writes to it."""

from __future__ import annotations

import errno

import polars as pl
import pytest

from keepfit.datasets.refusal import refusals

ROWS = pl.DataFrame({"a": range(100_000)})


@pytest.mark.parametrize("write", [ROWS.write_parquet, ROWS.write_csv, ROWS.lazy().sink_parquet])
def test_a_disk_that_refuses_is_told_as_such(write: object) -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError) as caught, refusals():
        write(full)  # type: ignore[operator]
    assert caught.value.errno == errno.ENOSPC or "No space left" in str(caught.value)


def test_other_problems_stay_what_they_are() -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError), refusals():
        ROWS.select("b")
