"""The steps of the loop on a project. Each can be taken again at any time: what is done is found, not done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from keepfit.core.errors import DataError, NotFound, ProjectError, Refused, UserCodeError
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.models.model import ModelVersion, register, registered
from keepfit.models.plan import plan_training
from keepfit.monitoring.changes import note_changes
from keepfit.project import Project
from keepfit.runs.execute import execute
from keepfit.runs.hear import Heard
from keepfit.runs.run import Plan, Run, find_run

if TYPE_CHECKING:  # what brings polars and numpy waits until a step needs it: training that is known does not
    from keepfit.alerting.alert import Alert
    from keepfit.checks.gate import Verdict
    from keepfit.models.study import Study
    from keepfit.models.tune import Report
    from keepfit.monitoring.watch import Window
    from keepfit.releases.release import Release

WATCHED = ("performance", "drift", "freshness")
TRAINED = ("retraining", "production")
"""Kinds of alerts that a training opens when it comes to nothing, and that end with one that does not."""


def train(project: Project, home: Home, *, heard: Heard | None = None) -> tuple[ModelVersion, Run]:
    """Version the data, hold it against its contract, train on what is known now, and register the model.

    `heard` is told what the user's function logs. Raises ContractBroken, and trains nothing, when
    the data breaks its contract.
    """
    run = execute(home, plan_of(project, home), heard=heard)
    if known := registered(home, run):
        return known, run
    from keepfit.checks.model import tested_metrics

    return register(home, run, *tested_metrics(home, run)), run


def tune(
    project: Project, home: Home, *, jobs: int = 1, again: bool = False, report: Report | None = None
) -> tuple[Study, ModelVersion, Run]:
    """Search for good parameters as [train] tune says, then train with the best ones on all training rows.

    The search never sees the test rows; the model that comes of it is tested on them, registered
    and the challenger. Raises ProjectError when there is nothing to search, what `train` raises, and
    UserCodeError when no trial gave a value to judge by.
    """
    from keepfit.models.tune import tune as search

    settings = project.train.tune
    if settings is None:
        raise ProjectError("there is no `tune` under [train]", hint="tune = { trials = 40, rate = [0.03, 0.3] }")
    plan = plan_of(project, home)
    study = search(home, plan, settings, project.task, jobs=jobs, again=again, report=report or (lambda s, r: None))
    if study.best is None:
        hint = "keepfit runs --where \"state != 'done'\""
        raise UserCodeError(f"none of {len(study.trials)} trials gave a `{study.goal.metric}`", hint=hint)
    chosen = replace(project.train, parameters=project.train.parameters | study.best.parameters)
    return study, *train(replace(project, train=chosen), home)


def plan_of(project: Project, home: Home) -> Plan:
    """What training would do now; code or an environment that has changed is recorded."""
    plan = plan_training(
        home,
        project.name,
        task=project.task,
        main=project.main,
        sides=project.sides,
        settings=project.train,
    )
    note_changes(home, project.name, plan)
    return plan


def package(home: Home, model: ModelVersion) -> Fact:
    """The model's package, built when it is not there yet."""
    from keepfit.packages.build import build

    return build(home, model)


def check(project: Project, home: Home, package: Fact) -> Verdict:
    """May this package ship? Held against the plan and against the champion."""
    from keepfit.checks.check import check as check_package
    from keepfit.releases.release import champion

    live = champion(home, project.name)
    against = live.package if live and live.model != package.refs["model"] else None
    return check_package(home, package, project.check, champion=against)


def would_repeat(project: Project, home: Home, done: Mapping[str, Fact], plan: Callable[[], Plan]) -> bool:
    """Whether to train and to check once more, with nothing in production, would come to what is known."""
    from keepfit.checks.check import would_repeat as check_would_repeat

    if "package" not in done:
        return False
    try:
        if find_run(home, done["package"].refs["run"]).key != plan().key:
            return False
        return check_would_repeat(home, done["package"], project.check, champion=None)
    except (DataError, NotFound):  # what it was made from is no longer as it was
        return False


def release(project: Project, home: Home, package: Fact, verdict: Verdict, *, reason: str) -> Release:
    """Put a package into production; Refused unless the verdict on it is good.

    That a training came to nothing is no alert any more.
    """
    if not verdict.passed:
        raise Refused(f"{project.name}@{package.body['version']} may not ship: {verdict.reason}", hint="keepfit check")
    from keepfit.alerting.alert import update
    from keepfit.releases.release import release as put_live

    made = put_live(home, project.name, package, reason=reason)
    update(home, project.name, [], kinds=TRAINED)
    return made


def watch(project: Project, home: Home, live: Release, start: datetime) -> tuple[Window, list[Alert]]:
    """Look at one window of production; open and resolve alerts by what is seen."""
    from keepfit.alerting.alert import update
    from keepfit.monitoring.watch import watch as watch_window

    window = watch_window(
        home,
        live,
        start,
        task=project.task,
        datasets=project.datasets,
        settings=project.watch,
    )
    return window, update(home, project.name, window.symptoms, kinds=WATCHED)
