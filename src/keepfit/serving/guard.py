"""Whether a model on trial misbehaves, judged by its conduct beside that of a model that is trusted."""

from __future__ import annotations

import math

from keepfit.serving.conduct import Conduct, quantile
from keepfit.serving.settings import GuardLimits

DOUBT = 1e-4
"""Chance that a test stops a model that keeps its limit, however often it is looked at."""
CHANGES = 20.0
"""How often the trusted model would have changed its answer before a still one is called constant."""
BATCHES = 100
"""Batches of either model, or requests, before its speed is judged."""
TARDY = 0.1
"""Share of them that may take longer than the limit."""
LEAN = 100_000_000
"""Bytes a process may grow by, whatever it held at first."""
_ALTERNATIVES = 12


def misconduct(challenger: Conduct, champion: Conduct, limits: GuardLimits) -> str | None:
    """Why the challenger must be stopped now, in one sentence; None while there is no reason to."""
    if challenger.not_finite > limits.not_finite:
        return f"it gave no finite number for {challenger.not_finite:,} rows that the other model answers"
    if surely_above(challenger.faults, challenger.requests, limits.errors):
        return f"it had no answer to {challenger.faults:,} of {challenger.requests:,} requests that could be answered"
    if challenger.requests >= BATCHES and surely_above(challenger.late, challenger.requests, TARDY):
        return f"it kept {challenger.late:,} of {challenger.requests:,} requests waiting too long"
    if challenger.restarts > champion.restarts + limits.restarts:
        return f"its process died, or hung, {challenger.restarts:,} times"
    if _constant(challenger, champion):
        return f"its last {challenger.still:,} answers are one and the same"
    if tardy := _tardy(challenger, champion, limits):
        return f"it takes more than {limits.slower:g} times as long: {tardy}"
    return _fat(challenger, champion, limits)


def surely_above(bad: int, of: int, rate: float) -> bool:
    """Whether the rate of bad ones is above `rate`, at a false-alarm chance of DOUBT over all looks together.

    A mixture of likelihood ratios of rates above `rate` against it is a test martingale under
    every rate up to it, so that Ville's inequality holds at any time of looking (Robbins 1970,
    "Statistical methods related to the law of the iterated logarithm"; Ramdas et al. 2023,
    "Game-theoretic statistics and safe anytime-valid inference").
    """
    if bad == 0 or rate >= 1:
        return False
    good, least = of - bad, max(rate, 1e-9)
    ratios = []
    for k in range(_ALTERNATIVES):
        other = least + (1 - least) * 2.0**-k
        if good and other == 1:
            continue
        ratios.append(bad * math.log(other / least) + (good * math.log((1 - other) / (1 - least)) if good else 0.0))
    most = max(ratios)
    evidence = most + math.log(sum(math.exp(r - most) for r in ratios) / _ALTERNATIVES)
    return evidence >= -math.log(DOUBT)


def _constant(challenger: Conduct, champion: Conduct) -> bool:
    """Whether one answer has been repeated for so long that the champion would surely have changed its own.

    Its own rate of changes, less two standard errors, is what is expected of the challenger.
    """
    if champion.samples < CHANGES:
        return False
    rate = champion.changes / champion.samples
    surely = rate - 2 * math.sqrt(rate * (1 - rate) / champion.samples)
    return challenger.still * surely >= CHANGES


def _tardy(challenger: Conduct, champion: Conduct, limits: GuardLimits) -> str | None:
    """How long it takes, when too many of its batches take too long for batches of their size."""
    late = judged = 0
    slowest = 0.0
    for size, counts in enumerate(challenger.seconds):
        usual = _usual(champion, size)
        if usual is None or not any(counts):
            continue
        allowed = max(limits.slower * usual, limits.slow_seconds)
        judged += sum(counts)
        for bucket, count in enumerate(counts):
            if count and quantile([0] * bucket + [1], 1) / math.sqrt(2) >= allowed:  # the bucket lies wholly above
                late += count
                slowest = max(slowest, allowed)
    if judged < BATCHES or not surely_above(late, judged, TARDY):
        return None
    return f"{late:,} of {judged:,} batches took more than {slowest * 1e3:,.0f} ms"


def _usual(champion: Conduct, size: int) -> float | None:
    """Seconds that 99 in 100 of its batches of this class take at most, as far as others tell; None when none do.

    A batch takes no longer than a larger one, and no more than its rows would one by one.
    """
    told = []
    for other, counts in enumerate(champion.seconds):
        if sum(counts) >= BATCHES:
            told.append(quantile(counts, 0.99) * max(1, 2 ** (size - other + 1) if other < size else 1))
    return min(told, default=None)


def _fat(challenger: Conduct, champion: Conduct, limits: GuardLimits) -> str | None:
    first = max(challenger.memory_at_first, champion.memory_at_first)
    if first == 0 or challenger.memory <= max(limits.memory * first, first + LEAN):
        return None
    return f"its process grew to {challenger.memory / 1e6:,.0f} MB"
