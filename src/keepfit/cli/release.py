"""`keepfit release`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit import steps
from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report
from keepfit.models.model import find_model
from keepfit.releases.release import Release


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default="challenger", help="delay@3, challenger or an id")
    parser.add_argument("--reason", default="released by hand", help="why, for the record")


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    model = find_model(home, project.name, options.model)
    progress = Progress()
    progress.show(f"checking {model} ...")
    built = steps.package(home, model)
    verdict = steps.check(project, home, built)
    progress.show(f"releasing {model} ...")
    made = steps.release(project, home, built, verdict, reason=options.reason)
    progress.clear()
    return Report(made, told(made))


def told(release: Release) -> str:
    """A release in two lines."""
    return f"{release} is in production\n  {release.id}  {release.reason}"
