"""`keepfit data diff`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from keepfit.cli.data.showing import MARKS, counted, telling
from keepfit.cli.opening import open_project
from keepfit.cli.report import Report
from keepfit.datasets.diff import Columns, Diff, diff
from keepfit.datasets.point import find_points
from keepfit.datasets.rows import Rows
from keepfit.datasets.walk import shown

FILES, SHIFTS = 10, 10


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="+",
        help="two of NAME@1, NAME@-1, an id, or NAME for the files of now; `1 2 NAME` does as well, "
        "and NAME alone is what changed since its newest version",
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="COLUMN", help="tells rows apart; may be repeated"
    )


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    with telling() as told:
        before, after = find_points(home, project.datasets, options.what, told=told)
        told(f"comparing {before.label} with {after.label}")
        found = diff(home, before, after, key=options.key)
    return Report(found, "\n".join(_lines(found)))


def _lines(found: Diff) -> Iterator[str]:
    yield f"{shown(found.before)} -> {shown(found.after)}"
    yield f"files    {counted(found.counts)}"
    for change, path in found.files[:FILES]:
        yield f"  {MARKS[change]} {shown(path)}"
    if len(found.files) > FILES:
        yield f"  and {len(found.files) - FILES:,} more: --json has all"
    if found.columns:
        yield from _columns(found.columns)
    if found.rows:
        yield from _rows(found.rows)
    moved = [s for s in found.shifts if s.size][:SHIFTS]
    for i, s in enumerate(moved):
        unit = " sd" if s.what in ("mean", "sd") else ""
        before, after = ("-" if v is None else f"{v:.4g}" for v in (s.before, s.after))
        yield f"{'shifts' if i == 0 else '':<9}{s.column}: {s.what} {before} -> {after} ({s.size:+.3g}{unit})"


def _columns(columns: Columns) -> Iterator[str]:
    lines = [f"+ {name} {kind}" for name, kind in columns.added.items()]
    lines += [f"- {name} {kind}" for name, kind in columns.removed.items()]
    lines += [f"~ {name} {before} -> {after}" for name, (before, after) in columns.retyped.items()]
    yield from (f"{'columns' if i == 0 else '':<9}{line}" for i, line in enumerate(lines or ["the same"]))


def _rows(rows: Rows) -> Iterator[str]:
    changed = f", {rows.changed:,} changed (by {', '.join(rows.key)})" if rows.key else " (compared whole)"
    yield f"rows     {rows.before:,} -> {rows.after:,} in files that differ"
    yield f"  {rows.added:,} added, {rows.removed:,} removed{changed}"
    if rows.columns:
        yield "  changed in " + ", ".join(f"{name} ({n:,})" for name, n in rows.columns.items())
    for what, keys in rows.first.items():
        yield f"  {what}: " + "; ".join(", ".join(f"{k}={v}" for k, v in one.items()) for one in keys)
    if rows.note:
        yield f"  note: {rows.note}"
