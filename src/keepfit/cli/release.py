"""`keepfit release`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import msgspec

from keepfit import steps
from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report
from keepfit.cli.telling import tell
from keepfit.home import Home
from keepfit.models.model import find_model
from keepfit.releases.release import Release
from keepfit.serving.endpoint import sync


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
    tell(project, home)
    return told(home, made)


def told(home: Home, release: Release) -> Report:
    """A release, and what the endpoint answers with now; exit code 3 when that is something else."""
    live = sync(home)
    version, same = (live["version"], live.get("package") == release.package) if live else (None, True)
    if live is None:
        answering = "no endpoint is running: keepfit up"
    elif same:
        answering = f"the endpoint answers with version {version}"
    else:
        refused = f": {live['refused']['reason']}" if live["refused"] else ""
        answering = f"the endpoint does not, it answers with {f'version {version}' if version else 'nothing'}{refused}"
    text = f"{release} is in production\n  {release.id}  {release.reason}\n  {answering}"
    value = msgspec.to_builtins(release) | {"endpoint": {"running": live is not None, "version": version}}
    return Report(value, text, 0 if same else 3)
