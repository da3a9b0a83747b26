"""Rows of two tables held against each other, by key where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

SHOWN = 5
LOOKED_INTO = 1_000_000
"""Changed rows that are looked into, column by column."""
_HASH, _OTHER = "keepfit hash", "keepfit hash after"


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows differ."""

    before: int
    after: int
    key: list[str]
    """The columns by which a row is the same row; without any, rows are compared whole."""
    added: int
    removed: int
    changed: int = 0
    columns: dict[str, int] = {}
    """In how many of the changed rows (the first million) each column differs."""
    first: dict[str, list[dict[str, Any]]] = {}
    """Keys of the first rows added, removed and changed."""
    note: str | None = None


def compare_rows(before: pl.LazyFrame, after: pl.LazyFrame, key: Sequence[str], common: Sequence[str]) -> Rows:
    """The rows that differ in the common columns.

    Rows are compared by a 64-bit hash of their values, and joined by the values of the key. Where
    the key is not unique, or there is none, a row is the same row when all of it is the same.
    """
    values = [c for c in common if c not in key]
    if not key:
        return _whole(before, after, common, None)
    left, right = (
        side.select(*key, _hash(values).alias(_HASH)).collect(engine="streaming") for side in (before, after)
    )
    for frame, side in ((left, "before"), (right, "after")):
        if (
            twice := frame.height
            - frame.select(pl.struct(key).n_unique() if key[1:] else pl.col(key[0]).n_unique()).item()
        ):
            note = f"{', '.join(key)} is no key: {twice:,} rows {side} repeat one; rows are compared whole"
            return _whole(before, after, common, note)
    differing = (
        left.lazy()
        .join(
            right.lazy().rename({_HASH: _OTHER}),
            on=list(key),
            how="full",
            coalesce=True,
            nulls_equal=True,
        )
        .filter(pl.col(_HASH).ne_missing(pl.col(_OTHER)))
        .collect(engine="streaming")
    )
    added = differing.filter(pl.col(_HASH).is_null())
    removed = differing.filter(pl.col(_OTHER).is_null())
    changed = differing.filter(pl.col(_HASH).is_not_null() & pl.col(_OTHER).is_not_null())
    return Rows(
        before=left.height,
        after=right.height,
        key=list(key),
        added=added.height,
        removed=removed.height,
        changed=changed.height,
        columns=_by_column(before, after, changed.select(key).head(LOOKED_INTO), values),
        first={
            what: found.select(key).sort(key).head(SHOWN).to_dicts()
            for what, found in (("added", added), ("removed", removed), ("changed", changed))
            if found.height
        },
    )


def _whole(before: pl.LazyFrame, after: pl.LazyFrame, common: Sequence[str], note: str | None) -> Rows:
    left, right = (
        side.select(_hash(common).alias(_HASH)).group_by(_HASH).len("n").collect(engine="streaming")
        for side in (before, after)
    )
    more = pl.col("n after").fill_null(0).cast(pl.Int64) - pl.col("n").fill_null(0).cast(pl.Int64)
    added, removed = (
        left.join(right, on=_HASH, how="full", suffix=" after")
        .select(added=more.clip(lower_bound=0).sum(), removed=(-more).clip(lower_bound=0).sum())
        .row(0)
    )
    return Rows(
        before=int(left["n"].sum()), after=int(right["n"].sum()), key=[], added=added, removed=removed, note=note
    )


def _by_column(before: pl.LazyFrame, after: pl.LazyFrame, keys: pl.DataFrame, values: Sequence[str]) -> dict[str, int]:
    if keys.is_empty() or not values:
        return {}
    on = keys.columns
    old, new = (
        side.select(*on, *values).join(keys.lazy(), on=on, how="semi", nulls_equal=True) for side in (before, after)
    )
    both = old.join(new, on=on, how="inner", nulls_equal=True, suffix=_OTHER)
    counts = both.select(pl.col(c).ne_missing(pl.col(c + _OTHER)).sum().alias(c) for c in values)
    found = counts.collect(engine="streaming").row(0, named=True)
    return {name: n for name, n in sorted(found.items(), key=lambda item: -item[1]) if n}


def _hash(columns: Sequence[str]) -> pl.Expr:
    """A hash of a row: of each column with another seed, put together, which is faster than of them as one."""
    found = pl.lit(0, pl.UInt64)
    for seed, column in enumerate(columns, 1):
        found = found ^ pl.col(column).hash(seed)
    return found
