"""The one rule of time: a row is visible at T if it happened, and was known, at or before T."""

from __future__ import annotations

import polars as pl

from keepfit.core.errors import DataError
from keepfit.datasets.dataset import Dataset

_ROW = "keepfit row"


def align(main: pl.DataFrame, main_time: str | None, side: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """For each row of `main`, the last row of the side dataset that could be seen at its time.

    `rows` are the side dataset's; they are matched on its key columns. A side dataset without
    an event time is matched on its keys alone, its last row winning. Gives exactly one row per
    row of `main`, in the same order, all columns null where nothing is visible.
    """
    keys = side.role("key")
    left = main.select(*keys, *([main_time] if main_time else [])).with_row_index(_ROW)
    right = rows.select(list(side.columns))
    time = side.event_time
    if time is None:
        found = left.join(right.unique(keys, keep="last", maintain_order=True), on=keys, how="left")
    elif main_time is None:
        raise DataError(f"dataset `{side.name}` has an event time, but the main dataset has none")
    else:
        left = left.rename({main_time: "keepfit at"}).sort("keepfit at", maintain_order=True, nulls_last=True)
        right = right.with_columns(**{"keepfit seen": pl.col(time) + side.row_delay}).filter(pl.col(time).is_not_null())
        found = left.join_asof(
            right.sort("keepfit seen", time, maintain_order=True),
            left_on="keepfit at",
            right_on="keepfit seen",
            by=keys or None,
            strategy="backward",
            check_sortedness=False,
        )
    found = found.sort(_ROW)
    if found.height != main.height:
        raise DataError(f"joining `{side.name}` gave {found.height:,} rows for {main.height:,}")
    return found.select(list(side.columns))
