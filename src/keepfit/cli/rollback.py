"""`keepfit rollback`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.release import told
from keepfit.cli.report import Report
from keepfit.releases.rollback import rollback


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--to", type=int, metavar="VERSION", help="the one to go back to (default: the one before)")
    parser.add_argument("--reason", default="rolled back by hand", help="why, for the record")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    return told(home, rollback(home, project.name, reason=options.reason, to=options.to))
