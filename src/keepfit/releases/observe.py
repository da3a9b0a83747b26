"""Reading what production says of a challenger: its answers in the logs, and the truth about them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from keepfit.core.clocks import duration, utc
from keepfit.datasets.read import naive
from keepfit.models.metrics import Array, losses
from keepfit.models.task import Task
from keepfit.releases.betting import Numbers, evidence, paired, unpaired
from keepfit.releases.evidence import Evidence, Reference
from keepfit.releases.rollout import Rollout
from keepfit.serving.log import count_log, read_log
from keepfit.serving.truth import with_labels

CAP = 10.0
"""An absolute error counts for at most so many times the champion's mean error on its test."""
ENOUGH = 200_000
"""Answers whose labels are looked at, the oldest first: more tell no more, and all are counted."""
SLACK = 0.1
"""How much worse than the test of the champion before a new one may do, where no labels of the rollout tell."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """How losses are measured: by task, and for a regression in parts of `scale`."""

    task: Task
    scale: float = 1.0
    blocks: timedelta | None = None


class _Answers(NamedTuple):
    total: int
    rows: pl.DataFrame


class _Found(NamedTuple):
    """The answers of a challenger in one log, and its labelled losses beside the champion's."""

    rows: int
    new: Array
    old: Array
    differences: Array


def measured(task: Task, tested: dict[str, float], blocks: str | None) -> Measured:
    """How losses are measured, beside what the champion's test (metric -> value) found."""
    scale = CAP * (tested.get("mae") or 1.0) if task == "regression" else 1.0
    return Measured(task=task, scale=scale, blocks=duration(blocks) if blocks else None)


def read_evidence(folder: Path, rollout: Rollout, champion: int, by: Measured, stopped: str | None) -> Evidence:
    """What is known of a version in its rollout beside the champion's, which has this number.

    What a running endpoint has not yet written to its logs is missing.
    """
    found = [_shadow(folder, rollout, champion, by)]
    if rollout.stage == "canary":
        found.append(_canary(folder, rollout, champion, by))
    new, old = np.concatenate([f.new for f in found]), np.concatenate([f.old for f in found])
    return Evidence(
        rows=found[-1].rows,
        labelled=len(new),
        loss=float(new.mean()) if len(new) else None,
        reference=Reference(loss=float(old.mean()), error=_error(old)) if len(old) else None,
        against=evidence(np.concatenate([f.differences for f in found])),
        stopped=stopped,
    )


def read_probation(
    folder: Path, rollout: Rollout, since: datetime, tested: dict[str, float], by: Measured, stopped: str | None
) -> Evidence:
    """What is known of a champion since its release beside the one before, which no longer answers.

    That one is held to what was labelled in the rollout, or else to its test.
    """
    count, rows = _answers(folder, "log", [rollout.version], since)
    reference = rollout.reference or _promised(tested, by)
    if not count:
        return Evidence(reference=reference, stopped=stopped)
    known = with_labels(folder, rows).drop_nulls("label")
    new = _loss(known, by)
    limit = np.full(len(new), min(reference.loss + 2 * reference.error, 1.0))
    return Evidence(
        rows=count,
        labelled=len(new),
        loss=float(new.mean()) if len(new) else None,
        reference=reference,
        against=evidence(paired(new, limit, _blocks(known, by))),
        stopped=stopped,
    )


def _promised(tested: dict[str, float], by: Measured) -> Reference:
    name = {"binary": "brier", "multiclass": "accuracy", "regression": "mae"}[by.task]
    if name not in tested:
        return Reference(loss=1.0, error=0.0)
    loss = 1 - tested[name] if by.task == "multiclass" else tested[name] / by.scale
    return Reference(loss=loss, error=SLACK * loss / 2)


def _shadow(folder: Path, rollout: Rollout, champion: int, by: Measured) -> _Found:
    """The challenger was asked what the champion answered: the same ids."""
    count, new = _answers(folder, "shadow", [rollout.version], rollout.begun)
    if not count:
        return _NOTHING
    first, last = _ends(new)
    _, old = _answers(folder, "log", [champion], first - _APART, last + _APART)
    if old.is_empty():
        return _NOTHING._replace(rows=count)
    both = new.join(old.select("id", old="prediction"), on="id", maintain_order="left")
    known = with_labels(folder, both).drop_nulls("label")
    mine, other = _loss(known, by), _loss(known, by, "old")
    return _Found(count, mine, other, paired(mine, other, _blocks(known, by)))


def _canary(folder: Path, rollout: Rollout, champion: int, by: Measured) -> _Found:
    """Each request was answered by one of both."""
    count, new = _answers(folder, "log", [rollout.version], rollout.begun)
    if not count:
        return _NOTHING
    _, both = _answers(folder, "log", [rollout.version, champion], _ends(new)[0])
    known = with_labels(folder, both).drop_nulls("label")
    loss, mine = _loss(known, by), known["version"].to_numpy() == rollout.version
    return _Found(count, loss[mine], loss[~mine], unpaired(loss, mine, _blocks(known, by)))


_APART = timedelta(minutes=1)
"""How far apart both answers to a mirrored request may be."""
_NONE: Any = np.empty(0)
_NOTHING = _Found(0, _NONE, _NONE, _NONE)


def _answers(folder: Path, log: str, versions: list[int], since: datetime, until: datetime | None = None) -> _Answers:
    """What versions have answered: by the time of the answer, which a replay's clock is always behind."""
    time = pl.col("time")
    where = pl.col("version").is_in(versions) & (time >= naive(since)) & (time <= naive(until) if until else True)
    place = folder / "serving" / log
    count = count_log(place, where)
    return _Answers(count, read_log(place, where=where, most=ENOUGH) if count else pl.DataFrame())


def _ends(rows: pl.DataFrame) -> tuple[datetime, datetime]:
    first, last = rows.select(pl.col("time").min().alias("first"), pl.col("time").max().alias("last")).row(0)
    return utc(first), utc(last)


def _loss(known: pl.DataFrame, by: Measured, column: str = "prediction") -> Array:
    kind = pl.String if by.task == "multiclass" else pl.Float64
    truth, prediction = known["label"].cast(kind), known[column].cast(kind)
    return losses(by.task, truth.to_numpy(), prediction.to_numpy(), by.scale)


def _blocks(known: pl.DataFrame, by: Measured) -> Numbers | None:
    """The block of time that each row's event is in."""
    if by.blocks is None:
        return None
    step = by.blocks // timedelta(microseconds=1)
    numbers: Numbers = known["event_time"].cast(pl.Int64).to_numpy() // step
    return numbers


def _error(values: Array) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 1.0
