"""What the other columns say of the label: how much of it they explain, and whether they give it away."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl

from keepfit.datasets.dataset import Column, ColumnType
from keepfit.datasets.profile import ColumnProfile
from keepfit.datasets.sketch import Floats, Whole, floats_of
from keepfit.datasets.suspect import suspect
from keepfit.datasets.tally import Kind

CELLS = 10
_TYPES: dict[Kind, ColumnType] = {"number": "number", "level": "category", "text": "text", "time": "timestamp"}


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    """What a column says of the label."""

    column: str
    explained: float
    """The share of the label's variance that the cells of the column explain, in a sample of the rows."""
    cells: list[tuple[str, int, float]]
    """Cell, its rows in the sample, and the label's mean or the share of its rarer level there."""


def relate(columns: Sequence[ColumnProfile], sample: pl.DataFrame, label: str) -> tuple[list[Relation], dict[str, str]]:
    """What each column says of the label, the strongest first, and those that say too much."""
    rows = sample.filter(pl.col(label).is_not_null())
    target = next(c for c in columns if c.name == label)
    truth = _as_numbers(rows[label], target)
    if not rows.height or not truth.std():
        return [], {}
    found = [_relation(c, rows[c.name], truth) for c in columns if c.name != label and c.kind in ("number", "level")]
    known = {c.name: Column(type=_TYPES[c.kind], unique=c.distinct >= rows.height) for c in columns}
    return sorted(found, key=lambda r: -r.explained), suspect(rows.lazy(), known, label, rows.height)


def _as_numbers(values: pl.Series, column: ColumnProfile) -> Floats:
    """The label as what can be averaged: itself, or whether it is its second most frequent level."""
    if column.kind == "number":
        return floats_of(values)
    levels = column.parts[1].levels if len(column.parts) > 1 else []
    rarer = levels[1] if len(levels) > 1 else ""
    return (values.cast(pl.String) == rarer).cast(pl.Float64).to_numpy()


def _relation(column: ColumnProfile, values: pl.Series, truth: Floats) -> Relation:
    number, names = _cells(column, values)
    rows = np.bincount(number, minlength=len(names)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.bincount(number, truth, minlength=len(names)) / rows
    used = rows > 0
    between = float(rows[used] @ (means[used] - truth.mean()) ** 2)
    total = float(((truth - truth.mean()) ** 2).sum())
    by_chance = (int(used.sum()) - 1) / max(len(truth) - 1, 1)
    explained = max(0.0, (between / total - by_chance) / max(1 - by_chance, 1e-9))
    cells = [(names[i], int(rows[i]), float(f"{means[i]:.5g}")) for i in np.flatnonzero(used)]
    return Relation(column=column.name, explained=round(min(explained, 1.0), 4), cells=cells)


def _cells(column: ColumnProfile, values: pl.Series) -> tuple[Whole, list[str]]:
    """Each row's cell: the commonest levels, or about as many rows of numbers each; what is missing is one too."""
    if column.kind == "level":
        levels = column.parts[1].levels[:CELLS]
        place = {level: i for i, level in enumerate(levels)}
        texts = values.cast(pl.String).to_list()
        return np.array([len(levels) + 1 if t is None else place.get(t, len(levels)) for t in texts]), [
            *levels,
            "other levels",
            "missing",
        ]
    found = floats_of(values)
    there = ~np.isnan(found)
    ends = np.unique(found[there])
    if len(ends) <= CELLS:
        return np.where(there, np.searchsorted(ends, found), len(ends)), [*(f"{e:.4g}" for e in ends), "missing"]
    ends = np.unique(np.quantile(found[there], np.linspace(0, 1, CELLS + 1)))
    number = np.clip(np.searchsorted(ends, found, side="right") - 1, 0, max(len(ends) - 2, 0))
    names = [f"{a:.4g} to {b:.4g}" for a, b in pairwise(ends)]
    return np.where(there, number, len(names)), [*names, "missing"]
