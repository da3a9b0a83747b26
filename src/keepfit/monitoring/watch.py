"""Watching one window of production: what was answered, how right it was, and what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl

from keepfit.core.clocks import duration, iso
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.profile import Profile
from keepfit.datasets.query import answer_of, is_due, pin
from keepfit.datasets.read import collect, find_files, known_at, naive, read_files
from keepfit.home import Home
from keepfit.ledger import Fact, Point, Query, fact
from keepfit.models.model import find_model, spec_of, summary_of
from keepfit.models.task import Task
from keepfit.monitoring.baseline import Baseline
from keepfit.monitoring.detector import HORIZON
from keepfit.monitoring.drift import Drift, Past, drift
from keepfit.monitoring.performance import Performance, performance, window_metrics
from keepfit.monitoring.settings import WatchSettings
from keepfit.monitoring.symptom import Symptom
from keepfit.objects import read
from keepfit.releases.release import Release
from keepfit.runs.run import Run, find_run
from keepfit.serving.journal import journals
from keepfit.serving.log import input_column, windows_of
from keepfit.serving.truth import labelled

_ASKED = 10
"""How often, at most, a database is asked for fresh rows in the time that they may be old."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen in `[start, end)`."""

    id: str
    start: datetime
    end: datetime
    release: str
    predictions: int
    labelled: int
    metrics: dict[str, float]
    recent: Performance | None
    drift: Drift = Drift()
    symptoms: list[Symptom]


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """A window that cannot be watched yet."""

    start: datetime
    watched: datetime
    """When it is over, and its labels are due."""


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def due_windows(home: Home, name: str, *, settings: WatchSettings, delay: timedelta) -> list[datetime]:
    """Starts of the windows with predictions that are over, labels included, and not watched; oldest first.

    Windows are counted from 1970 in steps of the width.
    """
    starts = _unwatched(home, name, settings.width)
    return [start for start in starts if start + settings.width + delay <= home.clock.now()]


def coming_window(home: Home, name: str, *, settings: WatchSettings, delay: timedelta) -> Coming | None:
    """The first window with predictions that is not over yet, labels included; also one nothing is told of as yet."""
    now = home.clock.now()
    starts = _unwatched(home, name, settings.width)
    if not starts and any(path.stat().st_size for path in journals(home.folder / "serving" / "log")):
        starts = [EPOCH + (now - EPOCH) // settings.width * settings.width]
    ends = ((start, start + settings.width + delay) for start in starts)
    return next((Coming(start=start, watched=end) for start, end in ends if end > now), None)


def _unwatched(home: Home, name: str, width: timedelta) -> list[datetime]:
    seen = list_windows(home, name, limit=1)
    return windows_of(home.folder / "serving" / "log", seen[0].end if seen else EPOCH, width)


def watch(
    home: Home,
    live: Release,
    start: datetime,
    *,
    task: Task,
    datasets: Sequence[Dataset],
    settings: WatchSettings,
) -> Window:
    """Look at the window that begins at `start`, and record what was seen; the first look is the one that counts."""
    name, end = live.model_name, start + settings.width
    model = find_model(home, name, live.model)
    run = find_run(home, model.run)
    levels = summary_of(home, run).levels
    since = max(live.time, end - settings.recent * settings.width)
    rows = labelled(home.folder, min(since, start), end)
    now = rows.filter(pl.col("event_time") >= naive(start))
    known = rows.filter(
        (pl.col("release") == live.id) & pl.col("label").is_not_null() & (pl.col("event_time") >= naive(since))
    ).with_columns(window=(pl.col("event_time") - naive(start)).dt.total_microseconds() // _micros(settings.width))
    interval = model.interval
    recent = performance(known, task, levels, (interval[0], interval[1]) if interval else None)
    main = spec_of(run).main
    asked = inputs_of(now, main, "prediction").with_columns(now["label"].alias(main.label or "label"))
    past = [w for w in list_windows(home, name, limit=HORIZON) if w.release == live.id and w.start < start]
    drifted = drift(
        asked,
        start,
        _baseline(home, run),
        [Past(start=w.start, drift=w.drift) for w in reversed(past)],
        settings.alarm_rate,
    )
    found = Window(
        id="",
        start=start,
        end=end,
        release=live.id,
        predictions=now.height,
        labelled=int(now["label"].is_not_null().sum()),
        metrics=window_metrics(now.filter(pl.col("label").is_not_null()), task, levels),
        recent=recent,
        drift=drifted,
        symptoms=[*_performance(recent, live), *_drift(drifted), *freshness(home, datasets)],
    )
    return _record(home, name, found)


_NOTHING = Profile(rows=0, time=None, blocks=[], block_rows=[], columns=[], contrasts=[], together=[])


def _baseline(home: Home, run: Run) -> Baseline:
    """What training looked like; a profile in an early version's form says nothing, and nothing is held against it."""
    try:
        return Baseline(msgspec.json.decode(read(home.objects, run.outputs["baseline.json"]), type=Profile))
    except msgspec.ValidationError:
        return Baseline(_NOTHING)


def inputs_of(rows: pl.DataFrame, main: Dataset, *more: str) -> pl.DataFrame:
    """The inputs of logged predictions under their own names, and these columns of the log."""
    return rows.select(
        *(pl.col(input_column(n)).alias(n) for n in main.inputs), *(m for m in more if m not in main.inputs)
    )


def list_windows(home: Home, name: str, *, limit: int = 100) -> list[Window]:
    """The windows watched, newest first."""
    return [_window(f) for f in home.ledger.find(Query(kind="window", subject=f"model/{name}", limit=limit))]


def freshness(home: Home, datasets: Sequence[Dataset]) -> list[Symptom]:
    """A symptom for each dataset whose newest row is older than the project allows.

    A database is asked only when the rows that are known would be too old, and then ten times, at most, in
    the time that they may be old.
    """
    found = []
    for dataset in datasets:
        if dataset.fresh and dataset.event_time:
            now, age = naive(home.clock.now()), duration(dataset.fresh)
            newest = _newest_row(home, dataset)
            if dataset.query and (newest is None or now - newest > age) and is_due(home, dataset, age / _ASKED):
                pin(home, dataset)  # only the database knows whether there are newer ones
                newest = _newest_row(home, dataset)
            if newest is None or now - newest > age:
                text = f"the newest row of `{dataset.name}` is of {newest}; it may be {dataset.fresh} old"
                found.append(
                    Symptom(kind="freshness", place=dataset.name, severity="page", text=text, hint="keepfit status")
                )
    return found


def _newest_row(home: Home, dataset: Dataset) -> datetime | None:
    """When the newest row that is known here happened; None when there is none."""
    if dataset.query and not answer_of(home, dataset).exists():
        return None
    rows = known_at(read_files(find_files(home.root, dataset), dataset), dataset, home.clock.now())
    return collect(rows.select(pl.col(dataset.event_time or "").max()), dataset).item()  # type: ignore[no-any-return]


def _performance(recent: Performance, live: Release) -> list[Symptom]:
    if not recent.worse:
        return []
    text = (
        f"{recent.metric} of {live} is {recent.value:.3f} ({recent.low:.3f} to {recent.high:.3f}) "
        f"on {recent.rows:,} labelled predictions; its test promised {recent.promised:.3f}"
    )
    return [
        Symptom(
            kind="performance",
            place=recent.metric,
            severity="page",
            text=text,
            evidence=msgspec.to_builtins(recent),
            hint="keepfit watch",
        )
    ]


def _drift(found: Drift) -> list[Symptom]:
    return [
        Symptom(
            kind="drift",
            place=moved.column,
            severity="digest",
            text=str(moved),
            evidence=msgspec.to_builtins(moved),
            hint="keepfit watch",
        )
        for moved in found.moved
    ]


def _record(home: Home, name: str, window: Window) -> Window:
    metrics = window.metrics
    made = fact(
        "window",
        f"model/{name}",
        time=home.clock.now(),
        key=[name, iso(window.start)],
        actor=home.actor,
        body=msgspec.to_builtins(window),
        refs={"release": window.release},
        attributes={"predictions": window.predictions, "labelled": window.labelled, **metrics},
    )
    for metric, value in metrics.items():
        point = Point(step=int(window.start.timestamp()), value=value, time=window.start)
        home.ledger.record(f"model/{name}/{metric}", [point])
    return _window(home.ledger.append([made])[0])


def _window(found: Fact) -> Window:
    return msgspec.structs.replace(msgspec.convert(found.body, Window), id=found.id)


def _micros(width: timedelta) -> int:
    return width // timedelta(microseconds=1)
