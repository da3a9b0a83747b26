"""`keepfit profile`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Progress, Report, table
from keepfit.core.errors import ProjectError, visible
from keepfit.core.files import write_file
from keepfit.datasets.explore import explore
from keepfit.datasets.portrait import HEAD, Portrait, told
from keepfit.project import find_root

RELATED = 8


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("data", help="a dataset of the project, or a CSV or Parquet file, a folder or a glob in quotes")
    parser.add_argument("--label", metavar="COLUMN", help="what is to be predicted (default: the dataset's label)")
    parser.add_argument("--time", metavar="COLUMN", help="when rows happened (default: the dataset's event time)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots there")


def run(options: Namespace) -> Report:
    try:
        find_root(options.project)
        project, home = open_anyway(options.project)
        datasets = project.datasets
    except ProjectError:  # any file can be looked at, also where there is no project
        home, datasets = None, ()
    progress = Progress()
    progress.show(f"reading {options.data} ...")
    try:
        found = explore(options.data, home, datasets, label=options.label, time=options.time)
    finally:
        progress.clear()
    if options.html:
        write_file(options.html, found.html().encode())
    return Report(found, "\n".join(_lines(found, options.html)))


def _lines(found: Portrait, page: Path | None) -> Iterator[str]:
    profile = found.profile
    yield f"{profile.rows:,} rows, {len(profile.blocks)} blocks of {'time' if profile.time else 'rows'}"
    yield ""
    yield table(HEAD, [[visible(cell) for cell in row] for row in told(profile)], right=(2, 3))
    if found.relations:
        yield f"\nshare of `{found.label}` that one column alone explains"
        related = [(visible(r.column), f"{r.explained:.1%}") for r in found.relations[:RELATED]]
        yield table(("column", "explains"), related, right=(1,))
    for column, why in found.suspects.items():
        yield f"\nwarning: `{visible(column)}`: {why}"
    yield f"\nwrote {page}" if page else "\nwith plots: --html profile.html"
