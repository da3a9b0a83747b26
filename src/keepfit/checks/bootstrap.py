"""Evidence that survives time: resampling whole blocks (days), not rows.

Rows of one day share weather, incidents and seasons; resampling rows, or a formula that takes
them as independent (DeLong for an AUC), claims far too much. Blocks are drawn with replacement
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8); both models are
measured on the same draw, so that what is common to both cancels out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from keepfit.models.metrics import Array, Measure

DRAWS = 400
Interval = tuple[float, float]


def interval(figure: Callable[[Array], float], blocks: NDArray[np.int64], *, level: float = 0.90) -> Interval:
    """A percentile interval of the figure over redrawn blocks; (NaN, NaN) when there is only one block.

    `figure` maps row weights to a number; `blocks` numbers the block of each row, from 0.
    """
    values = np.array([figure(w) for w in _weights(blocks)])
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def difference(new: Measure, old: Measure, sign: int) -> Callable[[Array], float]:
    """How much better `new` is than `old` on the same rows; `sign` is -1 for losses."""
    return lambda weights: sign * (new(weights) - old(weights))


def _weights(blocks: NDArray[np.int64]) -> Iterator[Array]:
    count = int(blocks.max()) + 1 if len(blocks) else 0
    if count < 2:
        return
    random = np.random.default_rng(count)
    for _ in range(DRAWS):
        times = np.bincount(random.integers(0, count, count), minlength=count)
        yield times[blocks].astype(np.float64)
