"""The plan that a command is about."""

from __future__ import annotations

from keepfit import steps
from keepfit.cli.report import Progress
from keepfit.home import Home
from keepfit.models.model import find_model
from keepfit.project import Project
from keepfit.releases.plan import Plan, find_plan


def planned(project: Project, home: Home, reference: str, progress: Progress, *, at_once: bool) -> Plan:
    """The plan for a version, which is packaged and checked first if it has not been."""
    model = find_model(home, project.name, reference)
    progress.show(f"checking {model} ...")
    built = steps.package(home, model)
    return steps.plan_release(project, home, built, steps.check(project, home, built), at_once=at_once)


def named(project: Project, home: Home, reference: str, progress: Progress) -> Plan:
    """The plan that a plan's id or a version means."""
    if reference.startswith("plan-"):
        return find_plan(home, reference)
    return planned(project, home, reference, progress, at_once=False)
