"""How far the distribution of each column of a table moved."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import polars as pl

from keepfit.datasets.part import LEVELS

MANY = 10_000
"""Text with more levels than this has no levels worth comparing."""


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a column before and after."""

    column: str
    what: str
    """`mean`, `sd`, `missing`, or `share of <level>`."""
    before: float | None
    after: float | None
    size: float
    """How far it moved: means and sds in the sd before, shares as they are."""


def shifts(before: pl.LazyFrame, after: pl.LazyFrame, common: Sequence[str]) -> list[Shift]:
    """Every figure of the common columns, the one that moved farthest first."""
    wanted = _figures(before, after, common)
    if not wanted:
        return []
    exprs = [e.cast(pl.Float64).alias(str(i)) for i, (_, _, e) in enumerate(wanted)]
    old, new = (side.select(exprs).collect(engine="streaming").row(0) for side in (before, after))
    spread = {c: s for (c, what, _), s in zip(wanted, old, strict=True) if what == "sd"}
    found = [
        Shift(column=c, what=what, before=_finite(a), after=_finite(b), size=_size(what, a, b, spread.get(c)))
        for (c, what, _), a, b in zip(wanted, old, new, strict=True)
    ]
    return sorted(found, key=lambda s: -abs(s.size))


def _figures(before: pl.LazyFrame, after: pl.LazyFrame, common: Sequence[str]) -> list[tuple[str, str, pl.Expr]]:
    schema = before.collect_schema()
    found: list[tuple[str, str, pl.Expr]] = []
    texts = [c for c in common if schema[c] == pl.String()]
    levels = _levels((before, after), texts)
    for column in common:
        kind = schema[column]
        found.append((column, "missing", figure(column, "missing", None)))
        if kind.is_numeric() or kind == pl.Boolean():
            found.append((column, "mean", figure(column, "mean", None)))
        if kind.is_numeric():
            found.append((column, "sd", pl.col(column).cast(pl.Float64).std()))
        for level in levels.get(column, ()):
            found.append((column, f"share of {level}", figure(column, "share", level)))
    return found


def _levels(sides: Sequence[pl.LazyFrame], texts: Sequence[str]) -> dict[str, list[str]]:
    """The most frequent levels of text columns on either side."""
    if not texts:
        return {}
    found: dict[str, dict[str, None]] = {}
    for side in sides:
        counts = side.select(pl.col(texts).approx_n_unique()).collect(engine="streaming").row(0, named=True)
        for column in texts:
            if counts[column] <= MANY:
                levels = side.select(column).drop_nulls().group_by(column).len("n").collect(engine="streaming")
                top = levels.sort("n", column, descending=[True, False]).head(LEVELS)[column]
                found.setdefault(column, {}).update(dict.fromkeys(top.to_list()))
    return {column: list(levels) for column, levels in found.items()}


def figure(column: str, what: str, level: str | None) -> pl.Expr:
    """One figure of a column: its mean, its share of missing values, or the share of one level."""
    value = pl.col(column)
    if level is not None:
        return (value == level).mean()
    return value.is_null().mean() if what == "missing" else value.cast(pl.Float64).mean()


def _size(what: str, before: float | None, after: float | None, spread: float | None) -> float:
    if before is None or after is None:
        return 0.0
    moved = after - before
    if what in ("mean", "sd") and spread:
        moved /= spread
    return moved if math.isfinite(moved) else 0.0


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
