"""Metrics of predictions against truth, with row weights so that a bootstrap needs no copies.

Truth is 0/1 for a binary task, the level's number for a multiclass one, the value for a
regression; a prediction is a probability, a row of probabilities, or a value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from keepfit.models.task import METRICS, Metric, Task

Array = NDArray[np.float64]
Measure = Callable[[Array | None], float]
"""Row weights (None: all one) -> the metric; NaN where it is undefined."""

_TINY = 1e-15


def measure(metric: Metric, truth: Array, prediction: Array) -> Measure:
    """The metric of these rows as a function of row weights; whatever needs sorting is done once, here."""
    found: Measure = _MEASURES[metric](truth, prediction)
    return found


def metrics(task: Task, truth: Array, prediction: Array) -> dict[Metric, float]:
    """All metrics of the task; NaN where one is undefined (an AUC with one class)."""
    return {metric: measure(metric, truth, prediction)(None) for metric in METRICS[task]}


def base_rate(task: Task, truth: Array, rows: int) -> Array:
    """What the trivial model predicts for `rows` rows: the mean, or the share of each level."""
    if task == "multiclass":
        shares = np.bincount(truth.astype(int)) / len(truth)
        return np.tile(shares, (rows, 1))
    return np.full(rows, truth.mean())


def _auc(truth: Array, score: Array) -> Measure:
    """Area under the ROC curve as the probability that a positive outranks a negative, ties counting half."""
    order = np.argsort(score, kind="stable")
    positive = truth[order] > 0.5
    ties = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])

    def auc(weight: Array | None) -> float:
        if not len(order):
            return float("nan")
        w = np.ones(len(order)) if weight is None else weight[order]
        above = np.add.reduceat(np.where(positive, w, 0.0), ties)
        below = np.add.reduceat(np.where(positive, 0.0, w), ties)
        pairs = above.sum() * below.sum()
        won = (above * (np.cumsum(below) - below / 2)).sum()
        return float(won / pairs) if pairs > 0 else float("nan")

    return auc


def _mean_of(loss: Callable[[Array, Array], Array], finish: Callable[[float], float] = float) -> Callable[..., Measure]:
    def prepare(truth: Array, prediction: Array) -> Measure:
        each = loss(truth, prediction)

        def mean(weight: Array | None) -> float:
            total = len(each) if weight is None else weight.sum()
            if not total:
                return float("nan")
            return finish(float((each.sum() if weight is None else each @ weight) / total))

        return mean

    return prepare


def _log_loss(truth: Array, prediction: Array) -> Array:
    if prediction.ndim == 2:
        chosen = prediction[np.arange(len(truth)), truth.astype(int)]
    else:
        chosen = np.where(truth > 0.5, prediction, 1 - prediction)
    loss: Array = -np.log(np.clip(chosen, _TINY, 1))
    return loss


def _right(truth: Array, prediction: Array) -> Array:
    chosen = prediction.argmax(axis=1) if prediction.ndim == 2 else prediction > 0.5
    right: Array = (chosen == truth).astype(np.float64)
    return right


def _r2(truth: Array, prediction: Array) -> Measure:
    def r2(weight: Array | None) -> float:
        w = np.ones(len(truth)) if weight is None else weight
        if not w.sum():
            return float("nan")
        spread = w @ (truth - w @ truth / w.sum()) ** 2
        return float(1 - w @ (truth - prediction) ** 2 / spread) if spread > 0 else float("nan")

    return r2


_MEASURES: dict[Metric, Callable[..., Measure]] = {
    "auc": _auc,
    "brier": _mean_of(lambda t, p: (t - p) ** 2),
    "log_loss": _mean_of(_log_loss),
    "accuracy": _mean_of(_right),
    "mae": _mean_of(lambda t, p: np.abs(t - p)),
    "rmse": _mean_of(lambda t, p: (t - p) ** 2, finish=lambda mean: mean**0.5),
    "r2": _r2,
}
