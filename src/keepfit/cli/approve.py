"""`keepfit approve`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit import steps
from keepfit.cli.opening import open_project
from keepfit.cli.planning import named
from keepfit.cli.report import Progress, Report
from keepfit.releases.approval import approve, list_approvals, missing


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", help="a version (7, delay@7, challenger), or the id of a plan")


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    progress = Progress()
    plan = named(project, home, options.what, progress)
    progress.clear()
    authors = steps.authors(home, plan)
    made = approve(home, plan, authors)
    lacking = missing(plan, list_approvals(home, plan, authors))
    text = f"{made.actor} approves {plan} as planned in {plan.id}, signed with the key {made.key}"
    after = f"{lacking} of {plan.approvals.count} approvals missing" if lacking else f"keepfit release {plan.version}"
    return Report({"approval": made, "missing": lacking}, f"{text}\n  {after}")
