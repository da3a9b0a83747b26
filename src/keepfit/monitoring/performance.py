"""How well the champion does on labelled predictions, with an interval over redrawn windows."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import polars as pl

from keepfit.checks.bootstrap import interval
from keepfit.models.metrics import Array, count, measure, metrics
from keepfit.models.task import HIGHER_IS_BETTER, METRICS, Metric, Task

LEAST_ROWS = 300
LEAST_WINDOWS = 4


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """The task's first metric over recent windows, against what the champion promised."""

    metric: Metric
    value: float | None
    low: float | None
    high: float | None
    promised: float | None
    """The champion's own test: the less demanding end of its interval."""
    rows: int
    worse: bool
    """Whether the whole interval is worse than promised."""


def truth_and_prediction(rows: pl.DataFrame, task: Task, levels: list[str] | None) -> tuple[Array, Array]:
    """Columns `label` and `prediction` of labelled predictions as metrics take them."""
    if task == "multiclass":
        number = {level: i for i, level in enumerate(levels or [])}
        truth = np.array([number[level] for level in rows["label"]], dtype=np.float64)
        return truth, np.array(rows["probabilities"].to_list(), dtype=np.float64)
    return rows["label"].cast(pl.Float64).to_numpy(), rows["prediction"].cast(pl.Float64).to_numpy()


def _judged(rows: pl.DataFrame, levels: list[str] | None) -> pl.DataFrame:
    """A level the model has never seen cannot be right or wrong by degrees: such rows are left out."""
    return rows if levels is None else rows.filter(pl.col("label").is_in(levels))


def window_metrics(rows: pl.DataFrame, task: Task, levels: list[str] | None) -> dict[str, float]:
    """The task's metrics on the labelled predictions of one window; undefined ones are left out."""
    rows = _judged(rows, levels)
    if rows.is_empty():
        return {}
    found = metrics(task, *truth_and_prediction(rows, task, levels))
    return {m: round(v, 6) for m, v in found.items() if math.isfinite(v)}


def performance(
    rows: pl.DataFrame, task: Task, levels: list[str] | None, promised: tuple[float, float] | None
) -> Performance:
    """The recent windows' labelled predictions (`window`, `label`, `prediction`) held against the promised interval."""
    metric = METRICS[task][0]
    better = metric in HIGHER_IS_BETTER
    limit = (promised[0] if better else promised[1]) if promised else None
    rows = _judged(rows, levels)
    if rows.height < LEAST_ROWS or rows["window"].n_unique() < LEAST_WINDOWS:
        return Performance(
            metric=metric, value=None, low=None, high=None, promised=limit, rows=rows.height, worse=False
        )
    blocks = rows["window"].rank("dense").to_numpy().astype(np.int64) - 1
    figure = measure(metric, *truth_and_prediction(rows, task, levels), blocks)
    low, high = interval(figure, count(blocks))
    worse = limit is not None and (high < limit if better else low > limit)
    return Performance(
        metric=metric,
        value=round(figure(None), 6),
        low=round(low, 6),
        high=round(high, 6),
        promised=limit,
        rows=rows.height,
        worse=worse,
    )
