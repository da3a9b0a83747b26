"""Model versions: what came out of a run, numbered and never changed; aliases point at them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from keepfit.core.errors import NameMoved, NotFound
from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query, fact
from keepfit.ledger.fact import fact_id
from keepfit.models.spec import Summary, TrainSpec
from keepfit.objects import read
from keepfit.runs.run import Run

_NAMED = 20
"""Versions that an error names."""


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model."""

    id: str
    name: str
    version: int
    time: datetime
    run: str
    model: str
    """Object digest of the model's file."""
    metrics: dict[str, float]
    """On the test rows of its own run."""
    interval: tuple[float, float] | None = None
    """Of the task's first metric, over redrawn days of the test."""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def register(
    home: Home, run: Run, metrics: dict[str, float], interval: tuple[float, float] | None = None
) -> ModelVersion:
    """The model version of a run: the next number, unless the run has one already.

    The alias `challenger` points at it afterwards.
    """
    from keepfit.models.formats import model_file  # brings archives, which a model that is known does not need

    subject = run.subject
    while True:
        if known := registered(home, run):
            return known
        newest = home.ledger.name(f"{subject}@challenger")
        before = home.ledger.get(newest) if newest else None
        number = (before.body["version"] if before else 0) + 1
        made = fact(
            "model",
            subject,
            time=home.clock.now(),
            key=run.id,
            actor=home.actor,
            body={"version": number, "metrics": metrics, "interval": interval},
            refs={"run": run.id, "model": run.outputs[model_file(run.outputs)]},
            attributes={"version": number, **{m: v for m, v in metrics.items() if v == v}},
        )
        try:
            return _model(home.ledger.append([made], [Move(f"{subject}@challenger", newest, made.id)])[0])
        except NameMoved:
            continue  # someone registered a model in between: take the next number


def registered(home: Home, run: Run) -> ModelVersion | None:
    """The model version that a run has already, if any."""
    known = home.ledger.get(fact_id("model", run.id))
    return _model(known) if known else None


def find_model(home: Home, name: str, reference: str) -> ModelVersion:
    """The version named by an id, a number, `champion` or `challenger`; NotFound when there is none."""
    reference = reference.removeprefix(f"{name}@")
    found: Fact | None = None
    if reference.isdigit():
        ids = {m.version: m for m in list_models(home, name)}
        if int(reference) in ids:
            return ids[int(reference)]
        if ids:
            known = ", ".join(str(version) for version in sorted(ids)[-_NAMED:])
            earlier = "..., " if len(ids) > _NAMED else ""
            raise NotFound(f"there is no version {reference} of `{name}`", hint=f"versions: {earlier}{known}")
    elif reference == "champion":
        live = home.ledger.name(f"release/{name}")
        release = home.ledger.get(live) if live else None
        found = home.ledger.get(release.refs["model"]) if release else None
    elif reference == "challenger":
        newest = home.ledger.name(f"model/{name}@challenger")
        found = home.ledger.get(newest) if newest else None
    else:
        found = home.ledger.get(reference)
    if found is None or found.kind != "model":
        raise NotFound(f"there is no model `{reference}`", hint="keepfit train")
    return _model(found)


def list_models(home: Home, name: str) -> list[ModelVersion]:
    """All versions, newest first."""
    return [_model(f) for f in home.ledger.find(Query(kind="model", subject=f"model/{name}", limit=100_000))]


def spec_of(run: Run) -> TrainSpec:
    """What the training step was told."""
    return msgspec.convert(run.spec, TrainSpec)


def summary_of(home: Home, run: Run) -> Summary:
    """What the training step said of its result."""
    return msgspec.json.decode(read(home.objects, run.outputs["summary.json"]), type=Summary)


def _model(found: Fact) -> ModelVersion:
    return ModelVersion(
        id=found.id,
        name=found.subject.removeprefix("model/"),
        version=found.body["version"],
        time=found.time,
        run=found.refs["run"],
        model=found.refs["model"],
        metrics=found.body["metrics"],
        interval=tuple(found.body["interval"]) if found.body["interval"] else None,
    )
