"""Installing the endpoint where it runs for good: `keepfit release --target`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec

from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report
from keepfit.core.errors import Refused
from keepfit.infra.target import TARGETS, Scope, Steps, deployment_of, find_target, take


def arguments(parser: ArgumentParser) -> None:
    """What `--target` and its like mean."""
    parser.add_argument("--target", help=f"install the endpoint, which serves what is released: {', '.join(TARGETS)}")
    parser.add_argument("--scope", choices=("user", "system"), help="whose systemd (default: system for root)")
    parser.add_argument("--dry-run", action="store_true", help="with --target: show files and commands, do nothing")
    parser.add_argument("--remove", action="store_true", help="with --target: take it away again")


def deploy(options: Namespace) -> Report:
    """Install or remove the endpoint at a target; Refused when there is nothing to serve yet."""
    target = find_target(options.target)
    project, home = open_project(options.project)
    scope: Scope = options.scope or ("user" if os.getuid() else "system")
    deployment = deployment_of(project, Path(sys.executable), scope)
    steps = target.remove(deployment) if options.remove else target.install(deployment)
    if options.dry_run:
        return Report(msgspec.to_builtins(steps, str_keys=True, enc_hook=str), _shown(steps))
    target.check()
    if not options.remove and home.ledger.name(f"release/{project.name}") is None:
        raise Refused(f"no version of `{project.name}` is in production yet", hint="keepfit retrain")
    progress = Progress()
    try:
        take(steps, progress.show)
    finally:
        progress.clear()
    lines = [f"wrote {path}" for path in steps.write] + [f"removed {path}" for path in steps.remove]
    lines += [" ".join(command) for command in (*steps.before, *steps.after)]
    return Report(
        msgspec.to_builtins(steps, str_keys=True, enc_hook=str), "\n".join([*lines, *filter(None, [steps.note])])
    )


def _shown(steps: Steps) -> str:
    lines = [" ".join(command) for command in steps.before]
    for path, text in steps.write.items():
        lines += [f"--- {path}", text]
    lines += [f"rm {path}" for path in steps.remove]
    lines += [" ".join(command) for command in steps.after]
    return "\n".join([*lines, *filter(None, [steps.note])])
