"""`keepfit data status`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from keepfit.cli.data.showing import MARKS, counted, plural, telling
from keepfit.cli.opening import open_project
from keepfit.cli.report import Report
from keepfit.datasets.choose import choose
from keepfit.datasets.status import DataStatus, status
from keepfit.datasets.walk import shown


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", help="datasets by name, or paths (default: everything that has versions)")


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    with telling() as told:
        chosen = choose(home, project.datasets, options.what, all_versioned=True)
        found = [status(home, source, told=told) for source, _ in chosen]
    text = "\n".join(line for one in found for line in _lines(one))
    return Report(found, text, 3 if any(one.changed for one in found) else 0)


def _lines(one: DataStatus) -> Iterator[str]:
    if one.version is None:
        name, files = shown(one.name), plural(one.counts["added"], "file")
        yield f"{name}: {files}, not versioned yet: keepfit data add {name}"
        return
    yield f"{one.version}: {counted(one.counts)}"
    for change, paths in one.first.items():
        yield from (f"  {MARKS[change]} {shown(path)}" for path in paths)
        if more := one.counts[change] - len(paths):
            yield f"  {MARKS[change]} and {more:,} more"
