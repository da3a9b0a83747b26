"""`keepfit data log`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.data.showing import counted
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report, table
from keepfit.core.clocks import iso
from keepfit.datasets.history import Change, history
from keepfit.datasets.progress import size


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a dataset, or a path that was added (default: all)")


def run(options: Namespace) -> Report:
    _, home = open_anyway(options.project)
    found = history(home, options.name)
    if not found:
        return Report([], "nothing is versioned yet: keepfit data add")
    head = ["version", "time", "by", "files", "size", "rows", "changed", "id"]
    return Report(found, table(head, [_row(one) for one in found], right=(3, 4, 5)))


def _row(one: Change) -> list[str]:
    version, rows = one.version, one.version.rows
    back = "back: " if one.back else ""
    newest = " (newest)" if one.newest else ""
    return [
        f"{version}{newest}",
        iso(one.time),
        one.actor or "-",
        f"{version.files:,}",
        size(version.bytes),
        f"{rows:,}" if rows is not None else "-",
        back + counted(one.changed),
        version.id,
    ]
