"""`keepfit who-was-live`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import msgspec

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.core.clocks import instant, iso
from keepfit.releases.timeline import live_at


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--at", metavar="TIME", help="a date or time, UTC (default: now)")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    at = instant(options.at) if options.at else home.clock.now()
    found = live_at(home, project.name, at)
    if found is None:
        return Report(None, f"nothing was in production at {iso(at)}", 3)
    live, rollout = found.release, found.rollout
    lines = [f"{live}  since {iso(live.time)}" + (f", {found.share:.4g} of the requests" if found.share < 1 else "")]
    lines += [f"  release  {live.id}", f"  model    {live.model}", f"  reason   {live.reason}"]
    if rollout:
        way = f"{rollout.share:.4g} of the requests" if rollout.share else "in shadow, answering nobody"
        lines += ["", f"{rollout}  since {iso(rollout.time)}, {way}"]
        lines += [f"  rollout  {rollout.id}", f"  model    {rollout.model}", f"  reason   {rollout.reason}"]
    value = msgspec.to_builtins(live) | {"share": found.share, "rollout": rollout}
    return Report(value, "\n".join(lines))
