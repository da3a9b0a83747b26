"""Planning a training run: which data, up to when, tested on what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl

from keepfit.core.clocks import duration, utc
from keepfit.core.errors import NotEnoughData
from keepfit.datasets.add import version
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.read import find_files, known_at, read_files
from keepfit.home import Home
from keepfit.models.task import Task
from keepfit.models.train import TrainSpec
from keepfit.runs.execute import keep_code, keep_environment
from keepfit.runs.functions import code_files
from keepfit.runs.run import Plan
from keepfit.runs.training import TrainSettings

_DAY = timedelta(days=1)


def plan_training(
    home: Home, name: str, *, task: Task, main: Dataset, sides: Sequence[Dataset], settings: TrainSettings
) -> Plan:
    """The plan to train on what is known now; the same plan until code, data, settings or environment change.

    Versions every dataset. Raises NotEnoughData when no label is known yet.
    """
    data = {d.name: version(home, d).id for d in (main, *sides)}
    known, end = _horizon(home, main)
    test = settings.test.removeprefix("last").strip()
    spec = TrainSpec(
        task=task,
        main=main,
        sides=list(sides),
        fit=settings.fit,
        features=settings.features,
        parameters=settings.parameters,
        seed=settings.seed,
        trust=settings.trust,
        pickle=settings.pickle,
        known=known,
        start=end - duration(settings.window) if end and settings.window else None,
        test_from=end - duration(test) if end and not test.endswith("%") else None,
        test_share=float(test.removesuffix("%")) / 100 if test.endswith("%") else 0.0,
    )
    references = [r for r in (settings.fit, settings.features) if r]
    code = keep_code(home, home.root, code_files(home.root, references))
    return Plan(
        subject=f"model/{name}",
        module="keepfit.models.train",
        spec=msgspec.to_builtins(spec),
        code=code,
        data=data,
        environment=keep_environment(home, code),
        seed=settings.seed,
        threads=settings.threads,
    )


def _horizon(home: Home, main: Dataset) -> tuple[datetime | None, datetime | None]:
    """When the newest known label became known, and the end of that row's day.

    Both come from the data, not from the clock, so that the same data give the same plan.
    """
    labelled = known_at(read_files(find_files(home.root, main), main), main, home.clock.now()).filter(
        pl.col(main.label or "").is_not_null()
    )
    time = main.event_time
    found = labelled.select(pl.len(), pl.col(time).max().alias("newest") if time else pl.lit(None).alias("newest"))
    rows, newest = found.collect().row(0)
    if not rows:
        raise NotEnoughData(
            f"no row of `{main.name}` has a label that is known at {home.clock.now():%Y-%m-%d %H:%M}",
            hint=f"fill in `{main.label}`, or change its known_after under [data.{main.name}] in keepfit.toml",
        )
    if newest is None:
        return None, None
    midnight = datetime(newest.year, newest.month, newest.day, tzinfo=UTC)
    return utc(newest) + main.label_delay, midnight + _DAY
