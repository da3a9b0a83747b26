"""Metrics of predictions against truth, prepared so that whole blocks of rows can be weighted at almost no cost.

Truth is 0/1 for a binary task, the level's number for a multiclass one, the value for a
regression; a prediction is a probability, a row of probabilities, or a value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.models.task import METRICS, Metric, Task

Array = NDArray[np.float64]
Blocks = NDArray[np.int64]
Measure = Callable[[Array | None], float]
"""Weight of each block (None: all one) -> the metric; NaN where it is undefined. Weights of blocks beyond the last
that has rows count for nothing."""

_TINY = 1e-15


def measure(metric: Metric, truth: Array, prediction: Array, blocks: Blocks | None = None) -> Measure:
    """The metric of these rows as a function of block weights; `blocks` numbers the block of each row, from 0.

    Everything that depends on single rows is summed here, once: a weighting costs a few
    multiplications, however many rows there are, and equals weighting the rows.
    """
    found: Measure = _MEASURES[metric](truth, prediction, np.zeros(len(truth), np.int64) if blocks is None else blocks)
    return found


def metrics(task: Task, truth: Array, prediction: Array) -> dict[Metric, float]:
    """All metrics of the task; NaN where one is undefined (an AUC with one class)."""
    return {metric: measure(metric, truth, prediction)(None) for metric in METRICS[task]}


def losses(task: Task, truth: NDArray[Any], prediction: NDArray[Any], scale: float = 1.0) -> Array:
    """What each row's prediction is wrong by, from 0 to 1, so that single rows can be bet on.

    Squared error of a probability (Brier), 1 for a wrong level (both given by name), or the absolute error in parts
    of `scale`, of which no more than 1 counts.
    """
    found: Array
    if task == "binary":
        found = (truth - prediction) ** 2
    elif task == "multiclass":
        found = (truth != prediction).astype(np.float64)
    else:
        found = np.minimum(np.abs(truth - prediction) / scale, 1.0)
    return found


def count(blocks: Blocks) -> int:
    """How many blocks there are."""
    return int(blocks.max()) + 1 if len(blocks) else 0


def _auc(truth: Array, score: Array, blocks: Blocks) -> Measure:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half.

    `won[i, j]` is how often a positive of block i outranks a negative of block j; a weighting
    of blocks weights each such pair by both its blocks.
    """
    size = count(blocks)
    positive = truth > 0.5
    levels, rank = np.unique(score, return_inverse=True)
    won = np.zeros((size, size))
    above, block_above = rank[positive], blocks[positive]
    for j in range(size):
        at = np.bincount(rank[~positive & (blocks == j)], minlength=len(levels))
        beaten = np.cumsum(at) - at / 2
        won[:, j] = np.bincount(block_above, weights=beaten[above], minlength=size)
    positives = np.bincount(block_above, minlength=size).astype(np.float64)
    negatives = np.bincount(blocks[~positive], minlength=size).astype(np.float64)

    def auc(weight: Array | None) -> float:
        w = np.ones(size) if weight is None else weight[:size]
        pairs = (positives @ w) * (negatives @ w)
        return float(w @ won @ w / pairs) if pairs > 0 else float("nan")

    return auc


def _mean_of(
    loss: Callable[[Array, Array], Array], finish: Callable[[float], float] = float
) -> Callable[[Array, Array, Blocks], Measure]:
    def prepare(truth: Array, prediction: Array, blocks: Blocks) -> Measure:
        sums, rows = np.bincount(blocks, weights=loss(truth, prediction)), np.bincount(blocks)

        def mean(weight: Array | None) -> float:
            w = np.ones(len(rows)) if weight is None else weight[: len(rows)]
            total = rows @ w
            return finish(float(sums @ w / total)) if total else float("nan")

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


def _r2(truth: Array, prediction: Array, blocks: Blocks) -> Measure:
    centred = truth - truth.mean() if len(truth) else truth  # sums of squares lose their digits far from zero
    sums, squares = np.bincount(blocks, weights=centred), np.bincount(blocks, weights=centred**2)
    errors, rows = np.bincount(blocks, weights=(truth - prediction) ** 2), np.bincount(blocks)

    def r2(weight: Array | None) -> float:
        w = np.ones(len(rows)) if weight is None else weight[: len(rows)]
        total = rows @ w
        spread = squares @ w - (sums @ w) ** 2 / total if total else 0.0
        return float(1 - errors @ w / spread) if spread > 0 else float("nan")

    return r2


_MEASURES: dict[Metric, Callable[[Array, Array, Blocks], Measure]] = {
    "auc": _auc,
    "brier": _mean_of(lambda t, p: (t - p) ** 2),
    "log_loss": _mean_of(_log_loss),
    "accuracy": _mean_of(_right),
    "mae": _mean_of(lambda t, p: np.abs(t - p)),
    "rmse": _mean_of(lambda t, p: (t - p) ** 2, finish=lambda mean: mean**0.5),
    "r2": _r2,
}
