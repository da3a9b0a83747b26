"""A column that is not as it was in training: what moved, by how much in its own units, since when, and where."""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from keepfit.datasets.part import Part, missing
from keepfit.datasets.profile import Contrast, correlations, scored
from keepfit.datasets.sketch import Whole
from keepfit.monitoring.baseline import Baseline

CELLS = 3
"""Cells that are named: those that gained or lost most."""
SHOWN = {"mean": "mean", "spread": "standard deviation", "skew": "mean", "tails": "standard deviation"}
"""What the contrasts of numbers are told by."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A level, or a range of numbers, and its share."""

    name: str
    before: float
    after: float


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A column, or two that go together otherwise than before, from the alarm until it is back."""

    column: str
    what: str
    """The contrast with most evidence."""
    told_by: str
    """What `before` and `after` are: `share`, `mean`, `standard deviation` or `correlation`."""
    before: float | None
    after: float | None
    since: datetime
    """Start of the window it most likely began in."""
    told: datetime
    """Start of the window that raised the alarm."""
    evidence: float
    """As a power of ten."""
    also: list[str] = []
    """Other contrasts of the column that would have raised an alarm by themselves."""
    cells: list[Cell] = []
    figure: int
    """Which of the baseline's figures it is."""
    size: float
    """How far away it was when it was told, in units of what a block varies by."""
    back: float = 0.0
    """Evidence that it is back, as a logarithm."""

    def __str__(self) -> str:
        what = self.what if self.told_by in ("share", "correlation") else f"{self.told_by} of its {self.what}"
        what = {"mean": "mean", "spread": "standard deviation"}.get(self.what, what)
        percent = self.told_by == "share"
        change = f"{_shown(self.before, percent)} -> {_shown(self.after, percent)}"
        cells = ", ".join(f"{c.name} {_shown(c.before, True)} -> {_shown(c.after, True)}" for c in self.cells)
        also = f"; also {', '.join(self.also)}" if self.also else ""
        return f"`{self.column}`: {what} {change} since {self.since:%Y-%m-%d}{f' ({cells})' if cells else ''}{also}"


class Described(NamedTuple):
    """A contrast in training and in a window."""

    told_by: str
    before: float | None
    after: float | None
    cells: list[Cell]


def key_of(contrast: Contrast) -> str:
    """What is told as one: a column, or two that go together otherwise than before."""
    return f"{contrast.column} and {contrast.other}" if contrast.other else contrast.column


def describe(rows: pl.DataFrame, baseline: Baseline, contrast: Contrast) -> Described:
    """A contrast in training and among these rows, in the column's own units, and the cells that moved."""
    profile = baseline.profile
    if contrast.other:
        pair = (contrast.column, contrast.other)
        known = {(t.first, t.second): t.correlation for t in profile.together}
        now = correlations(scored(rows, [c for c in profile.columns if c.name in pair]))
        return Described("correlation", known[pair], round(math.tanh(float(now[0, 1])), 4), [])
    gauge = next(g for c, g in baseline.gauges if c.name == contrast.column and g.part.what == contrast.part)
    if contrast.column not in rows.columns:
        return Described("share", None, None, [])
    part, values = gauge.part, rows[contrast.column]
    event = rows[profile.time] if profile.time in rows.columns else None
    counts = part.count(values, event)
    cells = _cells(part, counts, values)
    name = contrast.what.split(" of ")[0]
    if name in SHOWN:
        numbers = part.numbers(values, event).cast(pl.Float64, strict=False)
        whole = numbers.filter(numbers.is_finite())
        by = SHOWN[name]
        before, after = (part.mean, whole.mean()) if by == "mean" else (part.sd, whole.std())
        return Described(by, before, float(after) if isinstance(after, float) else None, cells)
    place = [c.what for c in profile.contrasts if (c.column, c.part) == (contrast.column, contrast.part)]
    inside = gauge.cells[place.index(contrast.what) - len(gauge.names) + len(gauge.cells)]
    before, after = (float(c[inside].sum() / max(c.sum(), 1)) for c in (np.array(part.counts), counts))
    return Described("share", before, after, [] if contrast.part == "missing" else cells)


def _cells(part: Part, counts: Whole, values: pl.Series) -> list[Cell]:
    """The cells that gained or lost most; of what was never seen, the levels themselves."""
    before, after = (c / max(c.sum(), 1) for c in (np.array(part.counts), counts))
    places = [i for i in np.argsort(-abs(after - before), kind="stable")[:CELLS] if before[i] != after[i]]
    cells = [Cell(name=part.cells[i], before=_short(before[i]), after=_short(after[i])) for i in places]
    if part.what != "level" or len(counts) - 1 not in places:
        return cells
    new = values.drop_nulls().cast(pl.String)
    new = new.filter(~new.is_in(part.levels))
    found = new.value_counts(name="n").sort("n", new.name, descending=[True, False]).head(CELLS)
    total = max(len(values) - missing(values), 1)
    named = [Cell(name=str(level), before=0.0, after=_short(n / total)) for level, n in found.rows()]
    return named + [c for c in cells if c.name != part.cells[-1]]


def _short(share: float) -> float:
    return round(float(share), 6)


def _shown(value: float | None, percent: bool) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.3g} %" if percent else f"{value:.4g}"
