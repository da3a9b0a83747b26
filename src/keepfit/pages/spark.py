"""Curves in a line of text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float], width: int = 48) -> str:
    """The values as bars from their least to their greatest, at most `width` of them; `·` for NaN, `!` for infinity.

    Of more values than fit, each bar shows the mean of its share.
    """
    if len(values) > width:
        cuts = [round(i * len(values) / width) for i in range(width + 1)]
        values = [_mean(values[a:b]) for a, b in itertools.pairwise(cuts)]
    finite = [v for v in values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return "".join(_bar(v, low, high) for v in values)


def figure(value: object) -> str:
    """A value as tables show it: four digits that count, whole numbers whole."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e9):
        return f"{int(value)}"
    return f"{value:.4f}" if 0.001 <= abs(value) < 10_000 else f"{value:.4g}"


def _mean(values: Sequence[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return math.fsum(v / len(finite) for v in finite) if finite else values[0]


def _bar(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "·" if math.isnan(value) else "!"
    span = high / 2 - low / 2  # halves: the whole may be infinite
    if span <= 0:
        return _BARS[3]
    share = (value / 2 - low / 2) / span
    return _BARS[max(0, min(7, int(share * 8)))]
