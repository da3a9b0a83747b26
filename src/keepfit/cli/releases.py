"""`keepfit releases`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import timedelta

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report, table
from keepfit.core.clocks import iso
from keepfit.releases.timeline import timeline


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="the newest N steps (default: 50)")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    found = timeline(home, project.name, limit=options.limit)
    rows = [
        (iso(m.time), m.actor or "-", f"{project.name}@{m.version}", m.what, _span(m.lasted), m.reason) for m in found
    ]
    text = table(("when", "who", "version", "what", "for", "why"), rows) if rows else "nothing was ever released"
    return Report(found, text)


def _span(lasted: timedelta | None) -> str:
    """A span as people read it: its two largest units."""
    if lasted is None:
        return ""
    rest = max(0, round(lasted.total_seconds()))
    told: list[str] = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        told += [f"{count}{unit}"] if count or told else []
    return " ".join(told[:2]) or "0s"
