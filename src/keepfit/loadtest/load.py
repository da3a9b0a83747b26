"""A load and what came of it: how requests are sent, how long answers took, and which were not as they should be."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
"""Names of what is told of a distribution."""
BUCKETS = 16


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are sent: at a rate, whatever the answers do (open), or by so many who each wait for theirs."""

    rate: float | None = None
    """Requests a second; None when each connection sends as soon as it has its answer."""
    connections: int = 64
    """Of the closed form; of the open one, the most there may be at once."""
    seconds: float = 10.0
    poisson: bool = False
    """Whether requests come by chance, as those of many people do, and not in step."""
    patience: float = 30.0
    """Seconds an answer may take before its request counts as not answered."""

    def times(self) -> Iterator[float]:
        """Seconds after the start at which the requests of an open load are to be sent."""
        assert self.rate
        if not self.poisson:
            yield from itertools.takewhile(lambda at: at < self.seconds, (i / self.rate for i in itertools.count()))
            return
        chance, at = random.Random(0), 0.0
        while (at := at + chance.expovariate(self.rate)) < self.seconds:
            yield at

    def __str__(self) -> str:
        if self.rate is None:
            return f"{self.connections} connections, each sending again once it has its answer"
        return f"{self.rate:g} requests a second" + (", by chance" if self.poisson else "")


class Bucket(msgspec.Struct, frozen=True):
    """Answers that took no longer than this, and longer than the bucket before."""

    seconds: float
    answers: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a load."""

    sent: int
    answered: int
    """Requests that were answered 200, by a release that had to be expected, with the values it promises."""
    seconds: float
    rate: float
    """Answers a second."""
    statuses: dict[str, int]
    """HTTP status -> answers; a connection that broke, and an answer that never came, have words of their own."""
    wrong: int
    """Answers with other values than the release promises for these rows."""
    examples: list[str]
    """The first few answers that were not as they should be."""
    versions: dict[str, int]
    """Model version -> answers it gave."""
    latency: dict[str, float]
    """Seconds from the moment a request was due until its answer was there."""
    late: float
    """The most seconds by which the load test itself sent a request late."""
    distribution: list[Bucket]
    """How many answers took how long."""

    @property
    def failed(self) -> int:
        """Requests without a right answer."""
        return self.sent - self.answered


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """What is told of these times; empty when there are none."""
    if not len(seconds):
        return {}
    values = np.sort(np.asarray(seconds))
    last = len(values) - 1
    return {name: float(values[min(last, int(np.ceil(share * len(values))) - 1)]) for name, share in QUANTILES.items()}


def distribution(seconds: Sequence[float]) -> list[Bucket]:
    """Answers by time, in buckets that grow by the same factor."""
    if not len(seconds):
        return []
    values = np.asarray(seconds)
    low, high = max(float(values.min()), 1e-6), max(float(values.max()), 2e-6)
    edges = np.geomspace(low, high, BUCKETS + 1)
    edges[-1] = np.inf
    counts, _ = np.histogram(np.maximum(values, low), edges)
    return [Bucket(float(min(edge, high)), int(count)) for edge, count in zip(edges[1:], counts, strict=True)]


def best(rounds: Sequence[Figures], name: str) -> Figures:
    """The round with the fewest failures, and among those the least of this quantile."""
    return min(rounds, key=lambda figures: (figures.failed, figures.latency.get(name, float("inf"))))


def ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The same by name."""
    return dict(sorted(counts.items()))
