"""Evidence that figures have moved, summed over every window it may have begun in: an e-detector.

For one figure and one window in which it may have begun to move, the evidence is the likelihood ratio of all windows
since: moved by some number of standard deviations, normally distributed about zero (Gönen, Johnson, Lu, Westfall, The
American Statistician 59, 2005), against not moved; mean and variance are known from the baseline's blocks and from the
windows themselves only. With an invariant prior for these two such a ratio is an e-process whatever they are
(Pérez-Ortiz, Lardy, de Heide, Grünwald, Annals of Statistics 52, 2024): on average it does not grow while nothing has
moved, however often one looks. Summed over all windows in which the change may have begun, as Shiryaev and Roberts did,
it is an e-detector: by chance it takes on average at least c windows to reach c (Shin, Ramdas, Rinaldo, "E-detectors: a
nonparametric framework for sequential change detection", 2024; tests restarted at each window: Shekhar, Ramdas, arXiv
2309.09111). So does an average of e-detectors with weights fixed beforehand, however they depend on each other.
"""

from __future__ import annotations

import numpy as np

from keepfit.datasets.sketch import Floats
from keepfit.monitoring.baseline import Baseline

HORIZON = 30
"""Windows that are looked back on: what began before counts from there."""
EFFECTS = ((16.0, 0.7), (1.0, 0.15), (1024.0, 0.15))
"""Variances of how far a figure may have moved, in those of a block, and their weights."""
HIGHEST = 650.0
"""Evidence, as a logarithm, that is not told apart from more."""


def evidence(baseline: Baseline, figures: Floats, rows: Floats) -> Floats:
    """Logarithms of the evidence by window of beginning (rows, oldest first) and figure (columns).

    `figures` are those of the windows so far, oldest first, with NaN where one was not to be had; `rows` their sizes.
    """
    newest = figures[::-1]
    there = np.isfinite(newest)
    values = np.where(there, newest, 0.0)
    count = np.cumsum(there, axis=0).astype(np.float64)
    size = np.cumsum(rows[::-1]) / np.arange(1, len(rows) + 1)
    worth = np.stack([baseline.worth(np.full(len(baseline.contrasts), s)) for s in size])
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.cumsum(values, axis=0) / count
        squares = np.cumsum(values**2, axis=0) - count * mean**2
        freedom = baseline.freedom + np.maximum(count - 1, 0)
        variance = (baseline.freedom * baseline.variance + np.maximum(squares, 0)) / freedom
        windows = 1 / (1 / count + 1 / worth)
        apart = mean**2 * windows / variance / freedom
        logs = [
            np.log(weight)
            - np.log1p(windows * g) / 2
            + (freedom + 1) / 2 * np.log((1 + apart) / (1 + apart / (1 + windows * g)))
            for g, weight in EFFECTS
        ]
        found = np.where(count > 0, np.logaddexp.reduce(logs, axis=0), -np.inf)
    made: Floats = np.minimum(found, HIGHEST)[::-1]
    return made
