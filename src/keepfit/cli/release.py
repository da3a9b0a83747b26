"""`keepfit release`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import msgspec

from keepfit import steps
from keepfit.cli import deploying
from keepfit.cli.opening import open_project
from keepfit.cli.planning import planned
from keepfit.cli.report import Progress, Report
from keepfit.cli.telling import tell
from keepfit.core.errors import Refused, UsageError
from keepfit.home import Home
from keepfit.project import Project
from keepfit.releases.plan import Plan, differences, find_plan
from keepfit.releases.release import Release, find_release
from keepfit.releases.rollout import Rollout
from keepfit.serving.endpoint import sync


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="7, delay@7, challenger or an id (default: the plan's, or challenger)")
    parser.add_argument("--plan", metavar="ID", help="do exactly what was planned, or nothing")
    parser.add_argument("--at-once", action="store_true", help="leave out the stages of [release]")
    deploying.arguments(parser)
    parser.add_argument("--reason", default="released by hand", help="why, for the record")


def run(options: Namespace) -> Report:
    if options.target:
        return deploying.deploy(options)
    project, home = open_project(options.project)
    progress = Progress()
    plan = _plan(project, home, options, progress)
    progress.show(f"releasing {plan} ...")
    made = steps.release(home, plan, reason=options.reason)
    progress.clear()
    tell(project, home)
    return told(home, made)


def told(home: Home, made: Release | Rollout) -> Report:
    """What has come of it, and what the endpoint answers with now; exit code 3 when that is something else."""
    release = find_release(home, made.champion) if isinstance(made, Rollout) else made
    live = sync(home)
    version, same = (live["version"], live.get("package") == release.package) if live else (None, True)
    if live is None:
        answering = "no endpoint is running: keepfit up"
    elif same:
        answering = f"the endpoint answers with version {version}"
    else:
        refused = f": {live['refused']['reason']}" if live["refused"] else ""
        answering = f"the endpoint does not, it answers with {f'version {version}' if version else 'nothing'}{refused}"
    lines = [f"{release} is in production"]
    if isinstance(made, Rollout):
        ways = f"is rolled out: {', '.join(made.stages)}" if made.running else "is no longer rolled out"
        lines = [f"{made} {ways}", f"  {release} stays in production meanwhile" if made.running else f"  {lines[0]}"]
    text = "\n".join(
        [*lines, f"  {made.id}  {(made.note if isinstance(made, Rollout) else '') or made.reason}", f"  {answering}"]
    )
    value = msgspec.to_builtins(made) | {"endpoint": {"running": live is not None, "version": version}}
    return Report(value, text, 0 if same else 3)


def _plan(project: Project, home: Home, options: Namespace, progress: Progress) -> Plan:
    if options.plan is None:
        return planned(project, home, options.model or "challenger", progress, at_once=options.at_once)
    wanted = find_plan(home, options.plan)
    now = planned(project, home, options.model or wanted.model, progress, at_once=wanted.at_once)
    if options.at_once and not wanted.at_once:
        raise UsageError("--at-once belongs to the plan", hint=f"keepfit plan {wanted.version} --at-once")
    if changed := "; ".join(differences(wanted, now)):
        progress.clear()
        raise Refused(f"{options.plan} does not hold any more: {changed}", hint=f"keepfit plan {wanted.version}")
    return wanted
