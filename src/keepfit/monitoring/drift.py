"""Drift against the training profile, with a budget of false alarms for the whole monitor.

Each window leaves its figures in its fact. An alarm is raised when the evidence that something has moved, summed over
all windows in which it may have begun and over all figures with weights fixed beforehand (detector.py), reaches the
budget: of 1 per 1000 windows, 1000. A column that was told is left out from then on, until its figure is back: the
likelihood of its newest windows being as in training, against as far away as when it was told, is RETURNED times as
large. Only the windows after that count for it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from keepfit.datasets.profile import Contrast
from keepfit.datasets.sketch import Floats
from keepfit.monitoring.baseline import LEAST_ROWS, Baseline
from keepfit.monitoring.detector import HORIZON, evidence
from keepfit.monitoring.moved import Moved, describe, key_of

RETURNED = 20.0
FAR = 4.0
"""As far as a figure is taken to have moved, at most, when it is asked whether it is back."""
ALSO = 3
Truths = npt.NDArray[np.bool_]
_STEPS = 100
_NONE = -32768


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What a window says of drift, and all that the next one must know of it."""

    rows: int = 0
    """Rows that were judged; 0: too few, or nothing to hold them against."""
    figures: str = ""
    """The window's figures, packed."""
    evidence: float | None = None
    """That something not told yet has moved, as a power of ten; the alarm is at that of the budget."""
    moved: list[Moved] = []
    """Most evidence first."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A window that was watched before."""

    start: datetime
    drift: Drift


def drift(rows: pl.DataFrame, start: datetime, baseline: Baseline, past: Sequence[Past], rate: float) -> Drift:
    """What these rows and the windows before them (oldest first, same baseline) say; `rate`: false alarms per window.

    Fewer than 200 rows, or a baseline of fewer than 5 blocks, are not judged; what was told stays as it was.
    """
    before = past[-1].drift.moved if past else []
    if rows.height < LEAST_ROWS or not baseline.usable:
        return Drift(moved=before)
    judged = [p for p in past if p.drift.rows][-(HORIZON - 1) :]
    packed = pack(baseline.measure(rows))
    figures = np.stack([unpack(f) for f in (*(p.drift.figures for p in judged), packed)])
    sizes = np.array([*(p.drift.rows for p in judged), rows.height], dtype=np.float64)
    found = evidence(baseline, figures, sizes) + np.log(baseline.weights)
    standing = [m for m in (_held(m, figures[-1], baseline) for m in before) if m.back < math.log(RETURNED)]
    found[~_counted(baseline.contrasts, judged, before)] = -np.inf
    total, limit = float(np.logaddexp.reduce(found, axis=None)), -math.log(rate)
    told: list[Moved] = []
    if total >= limit:
        starts = [*(p.start for p in judged), start]
        told = [
            _told(rows, baseline, found, figures, starts, places, limit) for places in _alone(baseline, found, limit)
        ]
    return Drift(
        rows=rows.height,
        figures=packed,
        evidence=round(total / math.log(10), 3) if math.isfinite(total) else None,
        moved=sorted([*told, *standing], key=lambda m: -m.evidence),
    )


def pack(figures: Floats) -> str:
    """Figures as text, to two decimals; NaN stays."""
    steps = np.clip(np.nan_to_num(figures, nan=_NONE / _STEPS) * _STEPS, _NONE, -_NONE - 1)
    return base64.b64encode(np.round(steps).astype("<i2").tobytes()).decode()


def unpack(text: str) -> Floats:
    """What was packed."""
    steps = np.frombuffer(base64.b64decode(text), dtype="<i2").astype(np.float64)
    return np.where(steps == _NONE, np.nan, steps / _STEPS)


def _held(moved: Moved, now: Floats, baseline: Baseline) -> Moved:
    """A column that was told, after one more window."""
    value, size = float(now[moved.figure]), max(-FAR, min(moved.size, FAR))
    if not math.isfinite(value):
        return moved
    nearer = (size * size / 2 - value * size) / float(baseline.variance[moved.figure])
    return msgspec.structs.replace(moved, back=max(0.0, round(moved.back + nearer, 3)))


def _counted(contrasts: Sequence[Contrast], judged: Sequence[Past], before: Sequence[Moved]) -> Truths:
    """Which windows (rows, this one last) count for which figures: those after the newest with the column told."""
    last = {m.column: i for i, p in enumerate(judged) for m in p.drift.moved} | {m.column: len(judged) for m in before}
    counted: Truths = np.arange(len(judged) + 1)[:, None] > np.array([last.get(key_of(c), -1) for c in contrasts])
    return counted


def _alone(baseline: Baseline, found: Floats, limit: float) -> list[list[int]]:
    """The figures of each column that would have raised an alarm if there were no others, and of the foremost."""
    own: dict[str, list[int]] = {}
    for i, contrast in enumerate(baseline.contrasts):
        own.setdefault(key_of(contrast), []).append(i)
    total = {key: float(np.logaddexp.reduce(found[:, places], axis=None)) for key, places in own.items()}
    ranked = sorted(own, key=lambda key: -total[key])
    alone = [k for k in ranked if total[k] - math.log(baseline.weights[own[k]].sum()) >= limit]
    return [own[key] for key in alone or ranked[:1]]


def _told(
    rows: pl.DataFrame,
    baseline: Baseline,
    found: Floats,
    figures: Floats,
    starts: Sequence[datetime],
    places: Sequence[int],
    limit: float,
) -> Moved:
    """The alarm of one column, whose figures are at these places."""
    by_figure = {i: float(np.logaddexp.reduce(found[:, i])) for i in places}
    best, *others = sorted(places, key=lambda i: -by_figure[i])
    begun = int(np.argmax(found[:, best]))
    contrast = baseline.contrasts[best]
    described = describe(rows, baseline, contrast)
    return Moved(
        column=key_of(contrast),
        what=contrast.what,
        told_by=described.told_by,
        before=described.before,
        after=described.after,
        since=starts[begun],
        told=starts[-1],
        evidence=round(float(np.logaddexp.reduce(list(by_figure.values()))) / math.log(10), 2),
        also=[baseline.contrasts[i].what for i in others if by_figure[i] >= limit][:ALSO],
        cells=described.cells,
        figure=best,
        size=round(float(np.nanmean(figures[begun:, best])), 2),
    )
