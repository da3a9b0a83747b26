"""Drift against the training profile, with a false-alarm budget for the whole monitor.

Each figure of each column (mean, share missing, share of a level) varied from block to block
in training: days are not alike. A new window is compared with that variation by the
prediction interval of a new block (Student's t with B - 1 degrees of freedom), so that
seasons within the training window do not alarm; dividing the budget by the number of figures
(Bonferroni) keeps the chance of any alarm in a window at or below it. The t distribution is
taken to the normal one by Wallace's approximation (Annals of Mathematical Statistics 30, 1959).

A share is close to a normal distribution only when it is not rare. It must therefore also be out of
reach of chance by the bound of Chernoff and Hoeffding (J. American Statistical Association 58, 1963),
with 3 rows more or fewer in training than were seen: of what was never seen in n rows, no more is
known than that its share is below 3/n (the rule of three; Hanley and Lippman-Hand, JAMA 249, 1983).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec
import polars as pl

from keepfit.datasets.profile import Contrast, Profile, observed

LEAST_ROWS = 200
LEAST_BLOCKS = 5
UNSEEN = 3
"""Rows that training may have missed by chance."""
_NORMAL = NormalDist()


class Drifted(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that left the range its training blocks allow."""

    column: str
    what: str
    expected: float
    found: float
    chance: float
    """Of a figure this far out when nothing has changed, after allowing for all figures looked at."""


def drift(rows: pl.DataFrame, baseline: Profile, budget: float) -> list[Drifted]:
    """What has drifted, strongest evidence first; at most `budget` false alarms per window.

    Fewer than 200 rows, or a baseline of fewer than 5 blocks, are not judged: the answer is then empty.
    """
    if rows.height < LEAST_ROWS or baseline.blocks < LEAST_BLOCKS:
        return []
    looks = len(baseline.contrasts)
    found = []
    for contrast, value in zip(baseline.contrasts, observed(rows, baseline.contrasts), strict=True):
        if math.isfinite(value):
            chance = min(1.0, looks * _chance(contrast, value, rows.height, baseline))
            if chance <= budget:
                found.append((chance, -abs(value - contrast.mean), contrast, value))
    return [
        Drifted(column=c.column, what=c.what, expected=c.mean, found=value, chance=chance)
        for chance, _, c, value in sorted(found, key=lambda f: f[:2])
    ]


def _chance(contrast: Contrast, value: float, rows: int, baseline: Profile) -> float:
    """Two-sided chance of a new block's figure this far from the mean of the training blocks."""
    blocks = baseline.blocks
    variance = contrast.spread**2 * (1 + 1 / blocks)
    if contrast.what != "mean":  # a share: a window of few rows varies by itself
        least = min(UNSEEN / baseline.rows, 0.5)
        share = min(max(contrast.mean, least), 1 - least)
        variance = max(variance, share * (1 - share) / rows)
        by_luck = _tail(value, min(max(value, contrast.mean - least), contrast.mean + least), rows)
    else:
        by_luck = 0.0
    if variance == 0:
        return 1.0 if value == contrast.mean else 0.0
    t, freedom = (value - contrast.mean) / math.sqrt(variance), blocks - 1
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return max(2 * _NORMAL.cdf(-z), by_luck)


def _tail(value: float, share: float, rows: int) -> float:
    """At most so large is the two-sided chance that a share of these rows is as far out as `value`."""
    parts = ((value, share), (1 - value, 1 - share))
    apart = sum(p * math.log(p / q) for p, q in parts if p > 0)
    return min(1.0, 2 * math.exp(-rows * apart))
