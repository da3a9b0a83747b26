"""`keepfit alerts ack`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.alerting.alert import acknowledge, find_alert
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.core.clocks import iso
from keepfit.core.errors import Refused


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("alert", help="its id, the beginning of one, or the fault of an open one: drift/wind")
    parser.add_argument("--note", default="", help="for the record")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    found = find_alert(home, project.name, options.alert)
    if found.state == "resolved":
        raise Refused(f"`{found.fingerprint}` was resolved at {iso(found.time)}", hint="keepfit alerts")
    alert = acknowledge(home, project.name, found, options.note)
    known = alert.acknowledged
    assert known
    return Report(alert, f"{alert.fingerprint}: known to {known.by or 'somebody'} since {iso(known.time)} {known.note}")
