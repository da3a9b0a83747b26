"""The steps of the loop on a project. Each can be taken again at any time: what is done is found, not done twice."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from keepfit.core.errors import DataError, NotFound, ProjectError, ServingError, UserCodeError
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.models.model import ModelVersion, find_model, register, registered
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
    from keepfit.monitoring.symptom import Severity
    from keepfit.monitoring.watch import Window
    from keepfit.releases.apply import Obstacle
    from keepfit.releases.evidence import Evidence
    from keepfit.releases.plan import Plan as ReleasePlan
    from keepfit.releases.release import Release
    from keepfit.releases.rollout import Rollout

KEEPER = "keepfit"
"""In whose name the loop moves rollouts on and takes versions back."""

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


def plan_release(
    project: Project, home: Home, package: Fact, verdict: Verdict, *, at_once: bool = False
) -> ReleasePlan:
    """What releasing this package would do, by the project's stages and approvals."""
    from keepfit.releases.plan import make_plan
    from keepfit.releases.release import champion

    return make_plan(champion(home, project.name), package, verdict, project.release, at_once=at_once)


def against(home: Home, plan: ReleasePlan) -> list[Obstacle]:
    """What stands against a plan, by the facts alone."""
    from keepfit.releases.apply import obstacles

    return list(obstacles(home, plan, authors(home, plan)))


def release(home: Home, plan: ReleasePlan, *, reason: str) -> Release | Rollout:
    """Do what is planned: put the package into production, or begin its rollout; Refused when something is against it.

    That a training came to nothing, or a version was taken back, is no alert any more.
    """
    from keepfit.alerting.alert import update
    from keepfit.releases.apply import apply

    made = apply(home, plan, authors(home, plan), reason=reason)
    update(home, plan.model_name, [], kinds=[*TRAINED, "release"])
    return made


def _stopped(home: Home, id: str) -> str | None:
    """Why the running endpoint stopped the version that this fact put on trial, if it did."""
    from keepfit.serving.endpoint import conduct, endpoint

    if endpoint(home) is None:
        return None
    with contextlib.suppress(ServingError):  # who does not answer is seen to elsewhere
        return next((s.stopped for s in conduct(home) if s.id == id and s.stopped), None)
    return None


def move_on(
    home: Home, live: Release, rollout: Rollout | None, seen: Evidence, verb: str, reason: str
) -> Release | Rollout:
    """Take the next step of a rollout, or take back a version, of which somebody is told first."""
    from keepfit.releases.release import take_back
    from keepfit.releases.rollout import advance, end, promote
    from keepfit.serving.endpoint import sync

    keeper = dataclasses.replace(home, actor=KEEPER)
    if rollout is None or verb == "take back":
        tell(home, live.model_name, live.version, f"{live} was taken back: {reason}", page=True)
        made = take_back(keeper, live, reason=reason)
        sync(home)
        return made
    if verb == "advance":
        return advance(keeper, rollout, seen, note=reason)
    if verb == "promote":
        return promote(keeper, rollout, live, seen, note=reason)
    if verb == "stop":
        tell(home, live.model_name, rollout.version, f"{rollout} was taken back: {reason}")
    return end(keeper, rollout, note=reason, bar=verb == "stop")


def tell(home: Home, name: str, version: int, text: str, *, page: bool = False) -> None:
    """Have it known that a version is not, or no longer, released."""
    from keepfit.alerting.alert import update
    from keepfit.monitoring.symptom import Symptom

    severity: Severity = "page" if page else "digest"
    told = Symptom(kind="release", place=str(version), severity=severity, text=text, hint="keepfit releases")
    update(home, name, [told], kinds=[])


def authors(home: Home, plan: ReleasePlan) -> set[str]:
    """Who made the model that is to be released; nobody where that does not matter."""
    if not plan.approvals.not_author:
        return set()
    from keepfit.releases.approval import authors_of

    return authors_of(home, find_model(home, plan.model_name, plan.model))


def see(project: Project, home: Home, live: Release, rollout: Rollout | None) -> Evidence:
    """What production says of the version that is being rolled out, or else of the champion beside the one before."""
    from keepfit.releases.evidence import Evidence
    from keepfit.releases.rollout import on_probation
    from keepfit.serving.endpoint import sync

    on_trial = rollout is not None and rollout.running
    stopped = _stopped(home, rollout.id if rollout and on_trial else live.id)
    if on_trial:
        with contextlib.suppress(ServingError):
            sync(home)  # what has been answered must be in the logs
    if rollout is None or not (on_trial or on_probation(rollout, live, home.clock.now())):
        return Evidence(stopped=stopped)
    from keepfit.releases.observe import measured, read_evidence, read_probation
    from keepfit.releases.release import find_release

    held = find_release(home, rollout.champion)
    tested = find_model(home, project.name, held.model).metrics
    by = measured(project.task, tested, project.release.blocks)
    if on_trial:
        return read_evidence(home.folder, rollout, held.version, by, stopped)
    return read_probation(home.folder, rollout, live.time, tested, by, stopped)


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
