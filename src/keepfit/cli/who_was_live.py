"""`keepfit who-was-live`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.core.clocks import instant, iso
from keepfit.releases.release import who_was_live


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--at", metavar="TIME", help="a date or time, UTC (default: now)")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    at = instant(options.at) if options.at else home.clock.now()
    found = who_was_live(home, project.name, at)
    if found is None:
        return Report(None, f"nothing was in production at {iso(at)}", 3)
    lines = [f"{found}  since {iso(found.time)}", f"  release  {found.id}", f"  model    {found.model}"]
    return Report(found, "\n".join([*lines, f"  reason   {found.reason}"]))
