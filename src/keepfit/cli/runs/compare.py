"""`keepfit runs compare`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.cli.runs.showing import find, side_by_side
from keepfit.core.errors import UsageError
from keepfit.core.files import write_file
from keepfit.runs.compare import compare
from keepfit.runs.report import report


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", metavar="run", help="two or more runs; the others are held against the first"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with curves and plots there")


def run(options: Namespace) -> Report:

    if len(options.runs) < 2:
        raise UsageError("comparing takes two runs or more", hint="keepfit runs compare RUN RUN")
    project, home = open_anyway(options.project)
    found = compare(home, [find(home, project.name, id) for id in options.runs])
    if options.html:
        write_file(options.html, report(home, found).encode())

    parts = [side_by_side(found, [run.id for run in found.runs])]
    if options.html:
        parts.append(f"wrote {options.html}")
    return Report(found, "\n\n".join(parts))
