"""`keepfit runs compare`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report, table
from keepfit.cli.runs.showing import block, find
from keepfit.core.errors import UsageError
from keepfit.core.files import write_file
from keepfit.runs.compare import Row, compare
from keepfit.runs.report import report, with_difference
from keepfit.runs.spark import figure


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

    def told(rows: Sequence[Row], values: Any) -> list[tuple[str, ...]]:
        return [("* " + row.name if row.differs else "  " + row.name, *values(row)) for row in rows]

    rows = told(found.parameters, lambda row: map(figure, row.values)) + told(found.metrics, with_difference)
    parts = [table(("", *(run.id for run in found.runs)), rows)]
    for other in found.others:
        lines = [*block("data", other.data or ["the same"])]
        lines += block("environment", other.environment or ["the same"])
        lines += block("code", ["the same"] if not other.code else [])
        parts.append("\n".join([f"{other.id} beside {found.runs[0].id}", *lines]) + ("\n" + other.code).rstrip())
    if options.html:
        parts.append(f"wrote {options.html}")
    return Report(found, "\n\n".join(parts))
