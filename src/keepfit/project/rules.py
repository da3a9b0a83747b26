"""What the parts of a project must be to each other; each rule sees only the parts it speaks of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keepfit.checks.requirement import CheckSettings, Requirement, SliceRequirement, requirements
from keepfit.core.errors import UsageError, did_you_mean
from keepfit.core.memory import size
from keepfit.core.toml import Key
from keepfit.datasets.dataset import Dataset
from keepfit.loadtest.demand import demand
from keepfit.models.task import METRICS, Task
from keepfit.monitoring.settings import WatchSettings
from keepfit.project.alerts import alert_rules
from keepfit.project.columns import column_rules, span
from keepfit.project.project import TASKS
from keepfit.project.references import reference_rules
from keepfit.project.sections import Problem
from keepfit.releases.settings import ReleaseSettings, read_stage
from keepfit.retraining.settings import RetrainSettings
from keepfit.runs.training import TrainSettings
from keepfit.serving.settings import ServeSettings

REASONS = ("performance", "drift", "data", "code")
"""What `retrain.when` may name beside `every <duration>`."""

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHARE = re.compile(r"last (\d+(?:\.\d+)?)%")


def rules(root: Path, parts: dict[str, Any]) -> Iterator[Problem]:
    """Every rule whose parts are there, applied; `parts` are named as in keepfit.toml, `data` a tuple of Dataset."""
    data = parts.get("data")
    labelled = [d for d in data or () for _ in d.role("label")]
    main = labelled[0] if len(labelled) == 1 else None  # with two labels, nothing that follows from one is told
    if "model" in parts and not MODEL_NAME.fullmatch(parts["model"]):
        yield Problem(f"`{parts['model']}` is no name for a model", ("model",), "use letters, digits, `-`, `_` and `.`")
    if data is not None:
        yield from column_rules(data)
    if "train" in parts:
        yield from _train_rules(parts["train"], main)
    if "check" in parts:
        yield from _check_rules(root, parts["check"], main)
    if "release" in parts:
        yield from _release_rules(parts["release"], main)
    if "serve" in parts:
        yield from _serve_rules(parts["serve"], main)
    if "watch" in parts:
        yield from _watch_rules(parts["watch"])
    if "alerts" in parts:
        yield from alert_rules(parts["alerts"])
    if "retrain" in parts:
        yield from _retrain_rules(parts["retrain"])
    yield from reference_rules(root, data, main, parts.get("train"), parts.get("check"))


def _train_rules(train: TrainSettings, main: Dataset | None) -> Iterator[Problem]:
    key: Key = ("train",)
    window, problems = span(train.window, (*key, "window"))
    yield from problems
    test = None
    if share := _SHARE.fullmatch(train.test):
        if not 0 < float(share[1]) < 100:
            yield Problem(f"`{train.test}` leaves nothing to train or to test on", (*key, "test"), 'write "last 20%"')
    elif not train.test.startswith("last "):
        yield Problem(f"`{train.test}` is not a test period", (*key, "test"), 'write "last 14d" or "last 20%"')
    else:
        test, problems = span(train.test.removeprefix("last "), (*key, "test"))
        yield from problems
    if window and test and test >= window:
        yield Problem(f"testing on the {train.test} leaves nothing of the window of {train.window}", (*key, "test"))
    if main and not main.event_time:
        for name, value in (("window", window), ("test", test)):
            if value:
                hint = f'give a timestamp column of [data.{main.name}] role = "event time"'
                hint += ', or write test = "last 20%"' if name == "test" else ""
                yield Problem(f"`{name}` is a duration, but `{main.name}` has no event time", (*key, name), hint)
    if not 0 <= train.seed < 2**32:
        yield Problem(f"the seed `{train.seed}` is not between 0 and {2**32 - 1}", (*key, "seed"))
    yield from _at_least_one(train, ("threads",), key)


def _check_rules(root: Path, check: CheckSettings, main: Dataset | None) -> Iterator[Problem]:
    key: Key = ("check",)
    task = TASKS.get(main.columns[main.label].type) if main and main.label else None
    yield from _metric_rules(check, task, key)
    if check.p99:
        yield from span(check.p99.at_most, (*key, "p99", "at_most"))[1]
    for i, text in enumerate(check.loads):
        yield from _sound(demand, text, (*key, "load") if isinstance(check.load, str) else (*key, "load", i))
    yield from _sound(size, check.memory, (*key, "memory"))
    yield from span(check.trial_within, (*key, "trial_within"))[1]
    if check.slower <= 0:
        yield Problem(f"`slower` cannot be {check.slower:g}: nothing would pass", (*key, "slower"), "write slower = 20")
    if check.slices:
        yield from _metric_rules(check.slices, task, (*key, "slices"))
        for i, name in enumerate(check.slices.by if main else ()):
            if main and name not in main.inputs:
                hint = did_you_mean(name, main.inputs)
                yield Problem(f"`{name}` is not an input of `{main.name}`", (*key, "slices", "by", i), hint)
    if check.tests is not None and not (root / check.tests).exists():
        yield Problem(f"there is no folder `{check.tests}`", (*key, "tests"), f"mkdir {check.tests}")


def _sound(parse: Callable[[str], object], text: str, key: Key) -> Iterator[Problem]:
    try:
        parse(text)
    except UsageError as problem:
        yield Problem(problem.message, key, problem.hint)


def _metric_rules(section: CheckSettings | SliceRequirement, task: Task | None, key: Key) -> Iterator[Problem]:
    for metric, requirement in requirements(section).items():
        here = (*key, metric)
        if task and metric not in METRICS[task]:
            article = "a regression" if task == "regression" else f"a {task} model"
            fitting = ", ".join(f"`{m}`" for m in METRICS[task])
            yield Problem(f"`{metric}` does not fit {article}", here, f"metrics that fit: {fitting}")
        if requirement == Requirement():
            yield Problem(f"`{metric}` demands nothing", here, f"write {metric} = {{ at_least = 0.5 }}")
        if requirement.better_than not in (None, "base rate"):
            problem = f"`better_than` cannot be `{requirement.better_than}`"
            yield Problem(problem, (*here, "better_than"), 'write better_than = "base rate"')


def _release_rules(release: ReleaseSettings, main: Dataset | None) -> Iterator[Problem]:
    share = -1.0
    for i, text in enumerate(release.stages):
        key: Key = ("release", "stages", i)
        try:
            stage = read_stage(text)
        except UsageError as problem:
            yield Problem(problem.message, key, problem.hint)
            continue
        if stage.share < share or stage.share == share == 0:
            yield Problem(f"`{text}` comes after a stage that asks no less of the version", key, "put it further up")
        share = stage.share
    yield from span(release.blocks, ("release", "blocks"))[1]
    if release.key is not None and main and release.key not in main.inputs:
        hint = did_you_mean(release.key, main.inputs)
        yield Problem(f"`{release.key}` is not an input of `{main.name}`", ("release", "key"), hint)
    wanted, here = release.approved_by, ("release", "approvals")
    if wanted.count < 0:
        yield Problem(f"`{wanted.count}` people cannot approve", here)
    elif wanted.by and len({name.partition(":")[0] for name in wanted.by}) < wanted.count:
        yield Problem(f"{len(wanted.by)} people cannot give {wanted.count} approvals", here, "name more in `by`")


def _serve_rules(serve: ServeSettings, main: Dataset | None) -> Iterator[Problem]:
    if not 0 <= serve.port < 2**16:
        yield Problem(f"the port `{serve.port}` is not between 0 and {2**16 - 1}", ("serve", "port"))
    yield from _at_least_one(serve, ("max_rows", "max_body", "max_waiting", "max_requests"), ("serve",))
    for name in ("hang", "patience", "body_within", "start_within"):
        yield from span(getattr(serve, name), ("serve", name))[1]
    for name in ("slow", "bake"):
        if (text := getattr(serve.guard, name)) != "0s":
            yield from span(text, ("serve", "guard", name))[1]
    yield from _sound(size, serve.memory, ("serve", "memory"))
    if serve.key is not None and main and serve.key not in main.inputs:
        problem = f"`{serve.key}` is not an input of `{main.name}`"
        yield Problem(problem, ("serve", "key"), did_you_mean(serve.key, main.inputs))


def _watch_rules(watch: WatchSettings) -> Iterator[Problem]:
    yield from span(watch.window, ("watch", "window"))[1]
    yield from _at_least_one(watch, ("recent",), ("watch",))
    try:
        _ = watch.alarm_rate
    except UsageError as problem:
        yield Problem(problem.message, ("watch", "alarms"), problem.hint)


def _retrain_rules(retrain: RetrainSettings) -> Iterator[Problem]:
    for i, reason in enumerate(retrain.when):
        key: Key = ("retrain", "when", i)
        if reason.startswith("every "):
            yield from span(reason.removeprefix("every "), key)[1]
            if reason.removeprefix("every ") != retrain.every:
                yield Problem(f"`{reason}` is a second schedule beside `every {retrain.every}`", key)
        elif reason not in REASONS:
            yield Problem(f"`{reason}` is no reason to retrain", key, did_you_mean(reason, [*REASONS, "every 30d"]))
    try:
        yield from span(retrain.pause, ("retrain", "at_most"))[1]
    except UsageError as problem:
        yield Problem(problem.message, ("retrain", "at_most"), problem.hint)


def _at_least_one(section: Any, names: tuple[str, ...], key: Key) -> Iterator[Problem]:
    for name in names:
        if getattr(section, name) < 1:
            yield Problem(f"`{name}` must be at least 1, not `{getattr(section, name)}`", (*key, name))
