"""A replayed time by month: what the loop did, and how the model it kept fit did beside the first one, left alone."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from keepfit.alerting.alert import alert_history
from keepfit.checks.judge import JudgeSpec
from keepfit.core.clocks import utc
from keepfit.datasets.read import collect, find_files, read_files
from keepfit.features.join import align
from keepfit.home import Home
from keepfit.models.metrics import Array
from keepfit.models.model import find_model, summary_of
from keepfit.models.task import METRICS
from keepfit.models.train import PREDICTION, SIDE, TRUTH
from keepfit.monitoring.performance import window_metrics
from keepfit.monitoring.watch import inputs_of
from keepfit.objects import read
from keepfit.packages.unpack import unpack
from keepfit.project import Project
from keepfit.releases.release import list_releases
from keepfit.replay import days
from keepfit.retraining.trigger import triggers
from keepfit.runs.execute import execute, keep_environment
from keepfit.runs.run import Plan, find_run
from keepfit.serving.truth import labelled


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """One month of a replay."""

    month: str
    served: int
    failed: int
    frozen: dict[str, float]
    """Metrics of the first model, left alone."""
    kept: dict[str, float]
    """Metrics of the answers that were given."""
    alerts: int
    """Pages opened."""
    retrainings: int
    promoted: int
    refused: int


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """The whole replay."""

    metrics: list[str]
    months: list[Month]
    probes: int
    probes_failed: int
    trainings: list[dict[str, str]]
    """When, why, and what came of it."""


def review(project: Project, home: Home) -> Review:
    """The review of what has been replayed so far; months without a replayed day are left out."""
    lived = days(home, project.name)
    start, end = lived[0].start, lived[-1].start + timedelta(days=1)
    rows = labelled(home.folder, start, end).with_columns(month=_month(pl.col("event_time")))
    frozen = _with_prediction(rows, first_model_says(project, home, rows))
    trained = list(reversed(triggers(home, project.name)))
    pages = [a for a in alert_history(home, project.name, limit=100_000) if a.severity == "page" and a.state == "open"]
    count = {
        "alerts": _by_month(a.time for a in pages),
        "retrainings": _by_month(t.time for t in trained),
        "promoted": _by_month(t.time for t in trained if t.ending == "released"),
        "refused": _by_month(t.time for t in trained if t.ending == "refused"),
    }
    levels = _levels(project, home)
    months = []
    for month in dict.fromkeys(_key(d.start) for d in lived):
        of = [d for d in lived if _key(d.start) == month]
        known = (pl.col("month") == month) & pl.col("label").is_not_null()
        months.append(
            Month(
                month=month,
                served=sum(d.served for d in of),
                failed=sum(d.failed for d in of),
                frozen=window_metrics(frozen.filter(known), project.task, levels),
                kept=window_metrics(rows.filter(known), project.task, levels),
                **{name: counted[month] for name, counted in count.items()},
            )
        )
    return Review(
        metrics=list(METRICS[project.task][:2]),
        months=months,
        probes=sum(d.probes for d in lived),
        probes_failed=sum(d.probes_failed for d in lived),
        trainings=[
            {"time": f"{t.time:%Y-%m-%d}", "reason": t.reason, "ending": t.ending or "open", "note": t.note}
            for t in trained
        ],
    )


def first_model_says(project: Project, home: Home, rows: pl.DataFrame) -> Array:
    """What the first model in production says of logged rows, joined and scored offline."""
    first = list_releases(home, project.name)[-1]
    main = project.main
    inputs = inputs_of(rows, main)
    sides = {s.name: collect(read_files(find_files(home.root, s), s), s) for s in project.sides}
    joined = [align(inputs, main.event_time, s, sides[s.name]).to_struct(f"{SIDE}{s.name}") for s in project.sides]
    buffer = io.BytesIO()
    inputs.with_columns(*joined, pl.lit(0.0).alias(PREDICTION), pl.lit(0.0).alias(TRUTH)).write_parquet(buffer)
    digest = home.objects.put(buffer.getvalue())
    plan = Plan(
        subject=f"model/{project.name}",
        module="keepfit.checks.judge",
        spec=msgspec.to_builtins(JudgeSpec(test=digest, champion=first.package, also=[])),
        code={},
        data={},
        environment=keep_environment(home, find_run(home, find_model(home, project.name, first.model).run).code),
    )

    def prepare(folder: Path) -> None:
        (folder / "test.parquet").write_bytes(buffer.getvalue())
        unpack(home, first.package, folder / "champion")

    made = execute(home, plan, prepare=prepare)
    found: Array = np.load(io.BytesIO(read(home.objects, made.outputs["champion.npy"])))
    return found


def _with_prediction(rows: pl.DataFrame, prediction: Array) -> pl.DataFrame:
    name = "probabilities" if prediction.ndim == 2 else "prediction"
    return rows.with_columns(pl.Series(name, prediction.tolist()))


def _levels(project: Project, home: Home) -> list[str] | None:
    first = list_releases(home, project.name)[-1]
    return summary_of(home, find_run(home, find_model(home, project.name, first.model).run)).levels


def _by_month(times: Iterable[datetime]) -> Counter[str]:
    return Counter(_key(utc(time)) for time in times)


def _key(time: datetime) -> str:
    return f"{time:%Y-%m}"


def _month(time: pl.Expr) -> pl.Expr:
    return time.dt.strftime("%Y-%m")
