"""Evidence that survives time: resampling whole blocks (days), not rows.

Rows of one day share weather, incidents and seasons; resampling rows, or a formula that takes
them as independent (DeLong for an AUC), claims far too much. Blocks are drawn with replacement
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8); both models are
measured on the same draw, so that what is common to both cancels out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keepfit.models.metrics import Array, Measure

DRAWS = 1000
Interval = tuple[float, float]


def interval(figure: Callable[[Array], float], blocks: int, *, level: float = 0.90) -> Interval:
    """A percentile interval of the figure over redrawn blocks; (NaN, NaN) when there is only one block.

    `figure` maps the weights of so many blocks to a number. The draws are the same every time.
    """
    if blocks < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(blocks).integers(0, blocks, (DRAWS, blocks))
    values = np.array([figure(np.bincount(draw, minlength=blocks).astype(np.float64)) for draw in drawn])
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def difference(new: Measure, old: Measure, sign: int) -> Measure:
    """How much better `new` is than `old` on the same rows; `sign` is -1 for losses."""
    return lambda weights: sign * (new(weights) - old(weights))
