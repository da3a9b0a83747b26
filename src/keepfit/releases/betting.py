"""Is the challenger worse? A test that may be looked at at any time, as often as one likes.

Whoever claims that the challenger loses no more than the champion, row for row, is bet against: a
stake is multiplied by 1 + bet * difference with each row. If the claim holds, no way of betting makes
money: the chance that the stake ever reaches 20 times what it was is at most 1 in 20, however often
one looks (Ville 1939; Waudby-Smith and Ramdas, Estimating means of bounded random variables by
betting, JRSS B 2024). Several fixed bets share the stake, so that small and large differences are
both found, and the order in which labels come in does not matter. Where each row is answered by one
of both only, runs of the challenger's answers are held against the champion's just before them
(Shekhar and Ramdas, Nonparametric two-sample testing by betting, 2023).

Differences are of losses from 0 to 1, challenger minus champion. Rows are taken as independent; where
the rows of a day go wrong together, a day is one bet (`blocks`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keepfit.models.metrics import Array

_BETS = 0.9 / 2.0 ** np.arange(10)

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


def evidence(differences: Array) -> float:
    """What a stake of 1 has become: the evidence that the challenger is worse."""
    if not len(differences):
        return 1.0
    stakes = np.array([np.log1p(bet * differences).sum() for bet in _BETS])
    top = float(stakes.max())
    return float(np.exp(min(top + np.log(np.exp(stakes - top).mean()), 700.0)))


def paired(challenger: Array, champion: Array, blocks: Numbers | None = None) -> Array:
    """The differences of two losses on the same rows, or of their means in each block."""
    difference: Array = challenger - champion
    return difference if blocks is None else _means(difference, blocks)


def unpaired(loss: Array, challenger: Flags, blocks: Numbers | None = None) -> Array:
    """The differences where each row, in order of answering, has the loss of one of both only."""
    if not challenger.any() or challenger.all():
        return np.empty(0)
    if blocks is not None:
        both = np.intersect1d(blocks[challenger], blocks[~challenger])
        kept = np.isin(blocks, both)
        loss, challenger, blocks = loss[kept], challenger[kept], blocks[kept]
        return _means(loss[challenger], blocks[challenger]) - _means(loss[~challenger], blocks[~challenger])
    first = int(np.argmin(challenger))  # a run of the challenger's with nothing before it has no partner
    loss, challenger = loss[first:], challenger[first:]
    starts = np.flatnonzero(np.diff(challenger, prepend=~challenger[:1]))
    means = np.add.reduceat(loss, starts) / np.diff(starts, append=len(loss))
    new, old = means[1::2], means[::2]
    return new - old[: len(new)]


def _means(values: Array, blocks: Numbers) -> Array:
    _, place = np.unique(blocks, return_inverse=True)
    means: Array = np.bincount(place, weights=values) / np.bincount(place)
    return means
