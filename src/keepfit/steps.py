"""The steps of the loop on a project. Each can be taken again at any time: what is done is found, not done twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from keepfit.alerting.alert import Alert, update
from keepfit.checks.check import check as check_version
from keepfit.checks.data import check_data
from keepfit.checks.gate import Verdict
from keepfit.checks.model import tested_metrics
from keepfit.checks.package import check_package
from keepfit.core.errors import ContractBroken, Refused
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.read import find_files, read_files
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.models.model import ModelVersion, register
from keepfit.models.plan import plan_training, window_rows
from keepfit.monitoring.watch import Window
from keepfit.monitoring.watch import watch as watch_window
from keepfit.packages.build import build
from keepfit.project import Project
from keepfit.releases.release import Release, champion
from keepfit.releases.release import release as put_live
from keepfit.runs.execute import execute, find_known
from keepfit.runs.run import Plan, Run, find_run

WATCHED = ("performance", "drift", "freshness")


def train(project: Project, home: Home) -> tuple[ModelVersion, Run]:
    """Version the data, hold it against its contract, train on what is known now, and register the model.

    Raises ContractBroken before anything is trained on data that breaks its contract.
    """
    plan = plan_of(project, home)
    if find_known(home, plan) is None:
        broken = [g for g in check_data(tables_of(project, home, plan)) if not g.passed]
        if broken:
            first = "\n".join(f"  {g.name}: {g.required}, but {g.found}" for g in broken)
            raise ContractBroken(
                f"the data breaks its contract, so nothing was trained:\n{first}",
                hint="mend the data, or the columns under [data] in keepfit.toml",
            )
    run = execute(home, plan)
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


def tables_of(project: Project, home: Home, plan: Plan) -> Mapping[str, tuple[Dataset, pl.DataFrame]]:
    """The rows a plan reads, by dataset."""
    tables = {project.main.name: (project.main, window_rows(home, project.main, plan))}
    for side in project.sides:
        tables[side.name] = (side, read_files(find_files(home.root, side), side).collect())
    return tables


def check(project: Project, home: Home, model: ModelVersion) -> Verdict:
    """May this model ship? Held against the plan and against the champion."""
    run = find_run(home, model.run)
    live = champion(home, project.name)
    against = live.package if live and live.model != model.id else None
    plan = Plan(subject=run.subject, module="", spec=run.spec, code={}, data=run.data, environment=run.environment)
    tables = tables_of(project, home, plan)
    return check_version(home, model, project.check, champion=against, tables=tables)


def package(project: Project, home: Home, model: ModelVersion, verdict: Verdict | None) -> tuple[Fact, Verdict]:
    """Build the model's package and try it in a fresh process."""
    built = build(home, model, verdict=verdict.id if verdict else None)
    return built, check_package(home, built, project.check)


def release(project: Project, home: Home, package: Fact, *verdicts: Verdict, reason: str) -> Release:
    """Put a package into production; Refused unless every verdict on it is good."""
    for verdict in verdicts:
        if not verdict.passed:
            raise Refused(
                f"{project.name}@{package.body['version']} may not ship: {verdict.reason}", hint="keepfit check"
            )
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
