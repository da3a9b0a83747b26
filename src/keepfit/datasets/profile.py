"""The profile of a table: what each column looks like, and how much it varies from one block of time to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

LEVELS = 12


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a column, as it varied over the profile's blocks."""

    column: str
    what: str
    """`mean`, `missing`, or `share of <level>`."""
    level: str | None = None
    mean: float
    spread: float
    """Standard deviation between blocks."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a table looked like, block by block."""

    rows: int
    blocks: int
    contrasts: list[Contrast]


def profile(frame: pl.DataFrame, columns: Sequence[str], blocks: pl.Series) -> Profile:
    """The profile of these columns; `blocks` says which block each row belongs to (a day, say)."""
    wanted = [(c, w, level, e) for c in columns for w, level, e in _contrasts(frame, c)]
    if not wanted or frame.is_empty():
        return Profile(rows=frame.height, blocks=0, contrasts=[])
    by_block = (
        frame.select(*columns, blocks.alias("keepfit block"))
        .group_by("keepfit block", maintain_order=True)
        .agg(e.alias(str(i)) for i, (_, _, _, e) in enumerate(wanted))
    )
    contrasts = []
    for i, (column, what, level, _) in enumerate(wanted):
        values = by_block[str(i)].drop_nulls().drop_nans()
        if len(values) >= 2:
            mean, spread = float(_number(values.mean())), float(_number(values.std()))
            contrasts.append(Contrast(column=column, what=what, level=level, mean=mean, spread=spread))
    return Profile(rows=frame.height, blocks=by_block.height, contrasts=contrasts)


def observed(frame: pl.DataFrame, contrasts: Sequence[Contrast]) -> list[float]:
    """The same figures for another table; NaN where it has no value to go by."""
    present = set(frame.columns)
    row = frame.select(
        (figure(c.column, c.what, c.level) if c.column in present else pl.lit(None)).cast(pl.Float64).alias(str(i))
        for i, c in enumerate(contrasts)
    ).row(0)
    return [math.nan if value is None else float(value) for value in row]


def figure(column: str, what: str, level: str | None) -> pl.Expr:
    """One figure of a column: its mean, its share of missing values, or the share of one level."""
    value = pl.col(column)
    if level is not None:
        return (value == level).mean()
    return value.is_null().mean() if what == "missing" else value.cast(pl.Float64).mean()


def _contrasts(frame: pl.DataFrame, column: str) -> list[tuple[str, str | None, pl.Expr]]:
    dtype = frame.schema[column]
    found: list[tuple[str, str | None]] = [("missing", None)]
    if dtype.is_numeric() or dtype == pl.Boolean():
        found.append(("mean", None))
    elif dtype == pl.String():
        top = frame[column].drop_nulls().value_counts(sort=True).sort("count", column, descending=[True, False])
        found += [(f"share of {level}", level) for level in top[column].head(LEVELS).to_list()]
    return [(what, level, figure(column, what, level)) for what, level in found]


def _number(value: Any) -> float:
    return math.nan if value is None else value
