"""Columns that tell the label too well: often they are only written once the answer is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from keepfit.datasets.dataset import Column

ROWS = 20_000
"""Rows that are looked at."""
FEWEST = 30
"""Rows below which chance does as much."""
NEARLY = 0.995
"""Share of rows, or area under the curve, from which on a single column says too much."""
ALIKE = 0.999
"""Correlation from which on a number says the same as the label."""


def suspect(typed: pl.LazyFrame, columns: Mapping[str, Column], label: str, rows: int) -> dict[str, str]:
    """The columns that alone give the label away, each with the reason."""
    sample = typed.gather_every(max(1, rows // ROWS)).filter(pl.col(label).is_not_null()).collect()
    if sample.height < FEWEST:
        return {}
    classes = columns[label].type in ("bool", "category")
    found = {}
    for name, column in columns.items():
        if name != label and not column.unique and _tells(sample, name, column, label, classes):
            found[name] = f"alone it predicts `{label}` almost perfectly: is it known beforehand?"
    return found


def _tells(sample: pl.DataFrame, name: str, column: Column, label: str, classes: bool) -> bool:
    value, truth = sample[name], sample[label]
    numeric = column.type in ("integer", "number")
    if not classes:
        if not numeric or value.n_unique() < 3:
            return False
        return abs(float(sample.select(pl.corr(name, label)).item() or 0)) >= ALIKE
    if _sorted_out(truth.is_null(), truth) >= NEARLY:  # nearly all have the same label anyway
        return False
    if _sorted_out(value.is_null(), truth) >= NEARLY:
        return True
    if column.type in ("bool", "category") or value.n_unique() <= 20:
        return _sorted_out(value, truth) >= NEARLY
    return numeric and truth.n_unique() == 2 and _separates(value, truth == truth.max())


def _sorted_out(value: pl.Series, truth: pl.Series) -> float:
    """The share of rows whose label is the most frequent one of the rows with their value."""
    counts = pl.DataFrame({"value": value, "truth": truth}).group_by("value", "truth").len()
    return float(counts.group_by("value").agg(pl.col("len").max())["len"].sum()) / len(truth)


def _separates(value: pl.Series, truth: pl.Series) -> bool:
    there = value.is_not_null()
    known, yes = value.filter(there), truth.filter(there).to_numpy()
    positives, negatives = int(yes.sum()), int((~yes).sum())
    if min(positives, negatives) < 5:
        return False
    ranks = known.rank("average").to_numpy()
    area = (float(np.sum(ranks[yes])) - positives * (positives + 1) / 2) / (positives * negatives)
    return max(area, 1 - area) >= NEARLY
