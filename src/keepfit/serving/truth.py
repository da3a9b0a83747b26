"""Logged predictions and the truth about them, as far as it has come in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl

from keepfit.serving.log import input_column, read_log
from keepfit.serving.records import Records


def labelled(folder: Path, since: datetime, until: datetime) -> pl.DataFrame:
    """The predictions for events in `[since, until)`, with the column `label` where the truth has come in."""
    return with_labels(folder, read_log(folder / "serving" / "log", since, until))


def with_labels(folder: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """Logged predictions with the column `label`, by their ids or by the user's key."""
    with Records(folder / "serving" / "records.db") as records:
        labels = records.labels_of(rows["id"].to_list())
        known = [labels.get(id) for id in rows["id"]]
        for column in records.key_columns():
            if (name := input_column(column)) in rows.columns:
                keys = rows[name].cast(pl.String).to_list()
                by_key = records.labels_by(column, [key for key in keys if key is not None])
                known = [by_key.get(key) if label is None else label for label, key in zip(known, keys, strict=True)]
    return rows.with_columns(pl.Series("label", known, strict=False))
