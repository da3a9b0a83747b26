"""How a resident model behaves: counted as it answers, and frozen to be judged, shown and kept."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

Stage = Literal["shadow", "canary", "bake"]

SMALLEST = 5e-5
"""Seconds below which batches are not told apart."""
BUCKETS = 48
"""Of a histogram of seconds; each bound is the square root of two times the one before."""
SIZES = 10
"""Classes of batches by rows: 1, 2-3, 4-7, ... 512."""


class Conduct(msgspec.Struct, frozen=True, kw_only=True):
    """How a model has behaved since `since`."""

    since: float
    """Seconds since 1970."""
    rows: int
    """Scored, whether they got an answer or not."""
    rows_failed: int
    rows_not_finite: int
    """Of those that failed: the model gave no finite number."""
    requests: int
    """Answered or mirrored while it was on trial."""
    faults: int
    """Of these: it had no answer for a row for which the model it is compared with had one."""
    late: int
    """Requests that it kept waiting for so long that the other answered them."""
    not_finite: int
    """Rows for which it gave no finite number, and the other did."""
    dropped: int
    """Rows that were not mirrored because it was behind, or away."""
    compared: int
    """Mirrored rows that both answered."""
    different: int
    """Of these: the answers differ."""
    largest_difference: float
    """Between two numbers, or between the probabilities of a level."""
    mean_difference: float
    samples: int
    """Batches with other inputs than the batch before; of each, the first answer is looked at."""
    changes: int
    """Of these: the answer was another than the one before."""
    still: int
    """How many of the newest samples had one and the same answer."""
    seconds: list[list[int]]
    """Batches by class of rows and by seconds from dispatch to answer (of a mirrored model: seconds of CPU)."""
    restarts: int
    memory: int
    """Bytes its process holds now; 0 where that is not known."""
    memory_at_first: int
    memory_peak: int

    def slowest(self, share: float) -> float:
        """Seconds within which all but this share of its batches were answered."""
        return quantile([sum(counts) for counts in zip(*self.seconds, strict=True)], 1 - share)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a model on trial stands: what `GET /control/rollout` tells, and what is kept of a trial that was stopped."""

    id: str
    """Of the fact that put it on trial: a rollout, or (`bake`) a release."""
    stage: Stage
    version: int
    package: str
    share: float
    ready: bool
    beside: int | None
    """The version it is compared with."""
    challenger: Conduct
    champion: Conduct
    stopped: str | None = None
    """Why the endpoint stopped it."""

    def by_route(self) -> dict[str, Conduct]:
        """Both conducts, by the route that their answers are logged under."""
        if self.stage == "bake":
            return {"champion": self.challenger, "previous": self.champion}
        return {self.stage: self.challenger, "champion": self.champion}


def bound(bucket: int) -> float:
    """The longest time, in seconds, that a bucket stands for."""
    return SMALLEST * math.sqrt(2) ** bucket


def quantile(counts: Sequence[int], level: float) -> float:
    """Upper bound, in seconds, of the bucket that holds this quantile; 0 when nothing was counted."""
    least, seen = level * sum(counts), 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= least:
            return bound(bucket)
    return 0.0


class Tally:
    """Counts the conduct of one model."""

    def __init__(self) -> None:
        self.requests = self.faults = self.late = self.not_finite = self.dropped = self.restarts = 0
        self.longest = 0.0
        """Seconds that a batch has taken at most."""
        self._since = time.time()
        self._rows = self._rows_failed = self._rows_not_finite = 0
        self._samples = self._changes = self._still = 0
        self._compared = self._different = 0
        self._largest = self._total = 0.0
        self._seconds = [[0] * BUCKETS for _ in range(SIZES)]
        self._inputs: bytes | None = None
        self._answer: Any = None
        self._memory = self._memory_at_first = self._memory_peak = 0

    def batch(self, inputs: bytes, values: Sequence[Any], seconds: float) -> None:
        """A batch was scored: its packed columns, its answers, and how long that took."""
        rows = len(values)
        self._rows += rows
        if seconds > self.longest:
            self.longest = seconds
        size = rows.bit_length() - 1
        bucket = math.ceil(2 * math.log2(seconds / SMALLEST)) if seconds > SMALLEST else 0
        self._seconds[size if size < SIZES else SIZES - 1][bucket if bucket < BUCKETS else BUCKETS - 1] += 1
        answer = values[0]
        if answer is not None and inputs != self._inputs:
            self._samples += 1
            if answer == self._answer:
                self._still += 1
            else:
                self._changes += 1
                self._still = 1
            self._answer = answer
        self._inputs = inputs

    def failed(self, rows: int, not_finite: int) -> None:
        """Rows of a batch have no answer."""
        self._rows_failed += rows
        self._rows_not_finite += not_finite

    def compare(self, differences: Sequence[float], different: int) -> None:
        """Rows that both answered: by how much the answers differ, and how many differ at all."""
        self._compared += len(differences)
        self._different += different
        self._total += sum(differences)
        self._largest = max(self._largest, *differences)

    def weigh(self, memory: int) -> None:
        """Its process holds so many bytes."""
        self._memory = memory
        self._memory_at_first = self._memory_at_first or memory
        self._memory_peak = max(self._memory_peak, memory)

    def conduct(self) -> Conduct:
        """All of it until now."""
        return Conduct(
            since=self._since,
            rows=self._rows,
            rows_failed=self._rows_failed,
            rows_not_finite=self._rows_not_finite,
            requests=self.requests,
            faults=self.faults,
            late=self.late,
            not_finite=self.not_finite,
            dropped=self.dropped,
            compared=self._compared,
            different=self._different,
            largest_difference=self._largest,
            mean_difference=self._total / self._compared if self._compared else 0.0,
            samples=self._samples,
            changes=self._changes,
            still=self._still,
            seconds=[list(counts) for counts in self._seconds],
            restarts=self.restarts,
            memory=self._memory,
            memory_at_first=self._memory_at_first,
            memory_peak=self._memory_peak,
        )


def read_stopped(path: Path) -> list[Standing]:
    """The trials that were stopped, oldest first; none when there is no such file, or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Standing])
    except (OSError, msgspec.MsgspecError):
        return []
