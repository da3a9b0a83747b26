"""The steps of the loop on a project. Each can be taken again at any time: what is done is found, not done twice."""

from __future__ import annotations

from datetime import datetime

from keepfit.alerting.alert import Alert, update
from keepfit.checks.check import check as check_package
from keepfit.checks.gate import Verdict
from keepfit.checks.model import tested_metrics
from keepfit.core.errors import Refused
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.models.model import ModelVersion, register
from keepfit.models.plan import plan_training
from keepfit.monitoring.watch import Window
from keepfit.monitoring.watch import watch as watch_window
from keepfit.packages.build import build
from keepfit.project import Project
from keepfit.releases.release import Release, champion
from keepfit.releases.release import release as put_live
from keepfit.runs.execute import execute
from keepfit.runs.run import Plan, Run

WATCHED = ("performance", "drift", "freshness")


def train(project: Project, home: Home) -> tuple[ModelVersion, Run]:
    """Version the data, hold it against its contract, train on what is known now, and register the model.

    Raises ContractBroken, and trains nothing, when the data breaks its contract.
    """
    run = execute(home, plan_of(project, home))
    return register(home, run, *tested_metrics(home, run)), run


def plan_of(project: Project, home: Home) -> Plan:
    """What training would do now."""
    return plan_training(
        home,
        project.name,
        task=project.task,
        main=project.main,
        sides=project.sides,
        settings=project.train,
    )


def package(home: Home, model: ModelVersion) -> Fact:
    """The model's package, built when it is not there yet."""
    return build(home, model)


def check(project: Project, home: Home, package: Fact) -> Verdict:
    """May this package ship? Held against the plan and against the champion."""
    live = champion(home, project.name)
    against = live.package if live and live.model != package.refs["model"] else None
    return check_package(home, package, project.check, champion=against)


def release(project: Project, home: Home, package: Fact, verdict: Verdict, *, reason: str) -> Release:
    """Put a package into production; Refused unless the verdict on it is good."""
    if not verdict.passed:
        raise Refused(f"{project.name}@{package.body['version']} may not ship: {verdict.reason}", hint="keepfit check")
    return put_live(home, project.name, package, reason=reason)


def watch(project: Project, home: Home, live: Release, start: datetime) -> tuple[Window, list[Alert]]:
    """Look at one window of production; open and resolve alerts by what is seen."""
    window = watch_window(
        home,
        live,
        start,
        task=project.task,
        datasets=project.datasets,
        settings=project.watch,
    )
    return window, update(home, project.name, window.symptoms, kinds=WATCHED)
