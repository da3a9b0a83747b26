"""A stored profile made ready to hold windows against: their figures, each with its variance and its weight."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
import polars as pl

from keepfit.datasets.part import Gauge
from keepfit.datasets.profile import Contrast, Profile, correlations, paired, scored
from keepfit.datasets.sketch import Floats
from keepfit.datasets.tally import SAMPLE

LEAST_ROWS = 200
LEAST_BLOCKS = 5
FEW = 100
"""Rows that correlations need at least."""
WEIGHTS = {
    "missing": 0.2,
    "mean": 0.35,
    "spread": 0.2,
    "skew": 0.05,
    "tails": 0.05,
    "outside the range seen": 0.1,
    "levels never seen": 0.1,
}
"""Of a column's weight, what each contrast has; the shares of its levels have the rest, each the same."""
SHARES = {"level": 0.7, "weekday": 0.15, "hour": 0.3}
TOGETHER = 0.05
"""The weight of all correlations."""
MOST_BORROWED = 1000.0


class Baseline:
    """How windows are measured."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.contrasts = profile.contrasts
        self.blocks = len(profile.blocks)
        self.usable = self.blocks >= LEAST_BLOCKS and bool(self.contrasts)
        self._pairs = [(i, c) for i, c in enumerate(self.contrasts) if c.other]
        self.gauges = [
            (column, Gauge(part))
            for (name, what), _ in groupby((c for c in self.contrasts if c.part), key=lambda c: (c.column, c.part))
            if (column := profile.column(name)) and what and (part := column.part(what))
        ]
        self.weights = _weights(self.contrasts)
        self.variance, self.freedom = _variances(self.contrasts, self.blocks)
        """Of each figure between blocks, in units of chance, and with how many degrees of freedom it is known."""
        self.block_rows = np.maximum([c.rows for c in self.contrasts], 1.0)

    def measure(self, rows: pl.DataFrame) -> Floats:
        """The figures of a window, each as far from the baseline's as it is in units of what a block varies by."""
        found, sizes = self._parts(rows)
        pairs, rows_of_pairs = self._together(rows)
        figures = np.concatenate([found, pairs])
        sizes = np.concatenate([sizes, np.full(len(pairs), rows_of_pairs)])
        made: Floats = figures * np.sqrt(self.variance / self.dispersion(sizes))
        return made

    def dispersion(self, rows: Floats) -> Floats:
        """The variance of figures of so many rows, in units of chance.

        What a block varies by beyond chance may be the same for all rows of it, or come from rows that are like their
        neighbours: a larger window is taken to vary as if the first were so, a smaller one as if the second were.
        """
        beyond = (self.variance - 1) / self.block_rows
        made: Floats = 1 + beyond * np.maximum(rows, self.block_rows)
        return made

    def worth(self, rows: Floats) -> Floats:
        """How many windows of so many rows the baseline counts for, by figure."""
        made: Floats = self.blocks * self.block_rows * self.dispersion(rows) / (np.maximum(rows, 1) * self.variance)
        return made

    def _parts(self, rows: pl.DataFrame) -> tuple[Floats, Floats]:
        event = rows[self.profile.time] if self.profile.time in rows.columns else None
        figures, sizes = [np.zeros(0)], [np.zeros(0)]
        for column, gauge in self.gauges:
            if column.name in rows.columns:
                counts = gauge.part.count(rows[column.name], event)
            else:
                counts = np.zeros(len(gauge.part.counts), dtype=np.int64)
            figures.append(gauge.figures(counts))
            sizes.append(np.full(len(gauge.names), float(counts.sum())))
        return np.concatenate(figures), np.concatenate(sizes)

    def _stride(self, rows: int) -> int:
        """One row in so many is looked at for correlations: as many as in the baseline, as neighbours may be alike."""
        of_block = self.profile.rows / self.blocks / max(self._pairs[0][1].rows, 1.0)
        return max(1, min(round(of_block), rows // FEW), math.ceil(rows / SAMPLE))

    def _together(self, rows: pl.DataFrame) -> tuple[Floats, float]:
        columns = [c for c in paired(self.profile.columns) if c.name != self.profile.time]
        if not self._pairs or any(c.name not in rows.columns for c in columns):
            return np.full(len(self._pairs), np.nan), 0.0
        some = rows.gather_every(self._stride(rows.height))
        found, place = correlations(scored(some, columns)), {c.name: i for i, c in enumerate(columns)}
        known = {(t.first, t.second): math.atanh(max(-0.999, min(t.correlation, 0.999))) for t in self.profile.together}
        figures = [
            found[place[c.column], place[c.other or ""]] - known[c.column, c.other or ""] for _, c in self._pairs
        ]
        return np.array(figures) * math.sqrt(max(some.height - 3, 0)), float(some.height)


def _weights(contrasts: list[Contrast]) -> Floats:
    """What each figure's evidence counts for; together 1, each column the same."""
    pairs = sum(1 for c in contrasts if c.other)
    own: dict[str, float] = {}
    shares: dict[tuple[str, str | None], int] = {}
    for c in contrasts:
        if c.part and c.what.startswith("share of"):
            shares[c.column, c.part] = shares.get((c.column, c.part), 0) + 1
    made = []
    for c in contrasts:
        if c.other:
            made.append(TOGETHER / pairs)
            continue
        count = shares.get((c.column, c.part))
        share = c.part in SHARES and c.what.startswith("share of") and count
        made.append(SHARES[c.part] / count if share and c.part and count else WEIGHTS[c.what.split(" of ")[0]])
        own[c.column] = own.get(c.column, 0.0) + made[-1]
    rest = (1 - TOGETHER if pairs else 1.0) / max(len(own), 1)
    return np.array([w if c.other else w / own[c.column] * rest for w, c in zip(made, contrasts, strict=True)])


def _variances(contrasts: list[Contrast], blocks: int) -> tuple[Floats, Floats]:
    """The variance of each figure, and with how many degrees of freedom it is known.

    What most figures share is borrowed by each (Smyth, Statistical Applications in Genetics and Molecular Biology 3,
    2004; median and median deviation, so that some that vary more do not count), and only ever makes a variance larger.
    One that varies clearly more stands on its own, and one with odd days among its blocks is known less well.
    """
    own = np.array([c.spread for c in contrasts])
    freedom = max(blocks - 1, 1)
    tails = np.array([c.tails or np.inf for c in contrasts])
    common = np.array([c.spread for c in contrasts if c.frequent and c.spread > 0])
    if len(common) < 2:
        return np.maximum(own, 1.0), np.minimum(float(freedom), tails)
    by_chance = 2 / max(freedom - 1, 1)
    logs = np.log(common) + 1 / freedom
    middle = float(np.median(logs))
    apart = (1.4826 * float(np.median(abs(logs - middle)))) ** 2 - by_chance
    apart = max(apart, by_chance * math.sqrt(2 / (len(common) - 1)))
    borrowed = min(2 / apart + 1, MOST_BORROWED)
    shared = (borrowed * math.exp(middle) + freedom * own) / (borrowed + freedom)
    alone = (own > math.exp(middle) * (1 + 2.4 * math.sqrt(2 / freedom))) | ~np.array([c.frequent for c in contrasts])
    variance = np.maximum(np.where(alone, own, np.maximum(own, shared)), 1.0)
    return variance, np.minimum(np.where(alone, freedom, borrowed + freedom), tails)
