"""`keepfit alerts test`"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from keepfit.alerting.channel import name_of
from keepfit.alerting.message import Message
from keepfit.alerting.postman import send_at_once
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Progress, Report, table
from keepfit.core.errors import UsageError


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--within", type=float, default=30.0, metavar="SECONDS", help="how long to wait (default: 30)")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    channels = project.alerts.channels
    if not channels:
        raise UsageError("there is no channel", hint='[alerts] to = ["$TEAM_SLACK"] in keepfit.toml')
    told = f"[{project.name}] test: a message of this kind would be an alert"
    message = Message(
        id=f"message-test-{os.urandom(8).hex()}",
        form="test",
        time=home.clock.now(),
        about=[],
        title=told,
        text=f"Asked for by {home.actor or 'somebody'} with `keepfit alerts test`; nothing is wrong.",
        short="nothing is wrong",
    )
    progress = Progress()
    progress.show(f"sending to {len(channels)} channels ...")
    outcomes = send_at_once(home, project.alerts, message, within=options.within)
    progress.clear()
    rows = [(name_of(c), reason or "taken") for c, reason in outcomes.items()]
    value = {"message": message.id, "channels": {name_of(c): reason for c, reason in outcomes.items()}}
    return Report(value, table(("channel", ""), rows), 1 if any(outcomes.values()) else 0)
