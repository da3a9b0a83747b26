"""`keepfit init`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from keepfit.cli.report import Report, table
from keepfit.core.errors import visible
from keepfit.infra.scaffold import Started, scaffold


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="a CSV or Parquet file with one row per thing to learn from")
    parser.add_argument("--label", metavar="COLUMN", help="what to predict (default: guessed, where it is plain)")
    parser.add_argument("--name", help="of the model (default: the file's)")


def run(options: Namespace) -> Report:
    started = scaffold(options.data, options.project, label=options.label, name=options.name)
    columns = [{"column": name, "type": kind, "use": use, "note": note} for name, kind, use, note in _columns(started)]
    value = {
        "written": [str(path) for path in started.written],
        "copied": {str(copy): str(origin) for copy, origin in started.copies.items()},
        "columns": columns,
    }
    shown = [[visible(str(c)) for c in column.values()] for column in columns]
    lines = [
        table(("column", "type", "use", ""), shown),
        "",
        *_told(started),
        "",
        "read keepfit.toml, then: keepfit train",
    ]
    return Report(value, "\n".join(lines))


def _columns(started: Started) -> Iterator[tuple[str, str, str, str]]:
    found = started.starter.found
    for name, column in found.columns.items():
        yield name, column.type, started.starter.use(name), found.notes.get(name, "")
    for name, reason in found.left_out.items():
        yield name, "", f"left out: {reason}", ""


def _told(started: Started) -> Iterator[str]:
    for path in started.written:
        origin = started.copies.get(path)
        yield f"copied {origin} to {path}: the copy is what is read from now on" if origin else f"wrote {path}"
    if started.starter.tests != "tests":
        yield f"`tests` holds files of others: yours are in `{started.starter.tests}`"
