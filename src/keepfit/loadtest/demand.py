"""A demand on how a package answers under load, in one line: `p99 <= 20ms at 500/s`."""

from __future__ import annotations

import re
from typing import NamedTuple

from keepfit.core.clocks import duration
from keepfit.core.errors import UsageError
from keepfit.loadtest.load import QUANTILES, Figures, Load

SECONDS = 3.0
"""How long each round of a load is sent."""
_DEMAND = re.compile(
    rf"\s*({'|'.join(map(re.escape, sorted(QUANTILES, key=len, reverse=True)))})\s*<=\s*(\S+)\s+at\s+"
    r"(?:(\d+(?:\.\d+)?)\s*/\s*s|(\d+)\s+connections?)\s*"
)


class Demand(NamedTuple):
    """What share of answers must come how soon, at which load."""

    name: str
    most: float
    """Seconds."""
    load: Load

    def met(self, figures: Figures) -> bool:
        return figures.failed == 0 and figures.latency.get(self.name, float("inf")) <= self.most


def demand(text: str) -> Demand:
    """The demand that the text makes; UsageError when it makes none."""
    hint = 'write "p99 <= 20ms at 500/s", or "p50 <= 5ms at 64 connections"'
    match = _DEMAND.fullmatch(text)
    if not match:
        raise UsageError(f"`{text}` is not a demand on latency under load", hint=hint)
    name, most, rate, connections = match.groups()
    seconds = duration(most).total_seconds()
    if not seconds or float(rate or connections) <= 0:
        raise UsageError(f"`{text}` demands nothing that can be", hint=hint)
    if rate:
        return Demand(name, seconds, Load(rate=float(rate), connections=512, seconds=SECONDS, patience=10.0))
    return Demand(name, seconds, Load(connections=int(connections), seconds=SECONDS, patience=10.0))
