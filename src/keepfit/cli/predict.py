"""`keepfit predict`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Progress, Report, table
from keepfit.cli.target import refuse_target
from keepfit.core.errors import UsageError
from keepfit.home import Home
from keepfit.predicting.batch import predict_batch
from keepfit.predicting.file import INPUT, predict_file
from keepfit.predicting.job import SUFFIXES, Settings

SHOWN = 20
INPUTS = 5
"""Input columns shown; --out writes them all."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "rows", nargs="+", metavar="FILE", help="CSV or Parquet; with --out, any number of them, or globs"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write rows and predictions there (.csv or .parquet), whatever their size; goes on where it was stopped",
    )
    parser.add_argument("--batch", action="store_true", help="the last FILE is the one to write, as with --out")
    parser.add_argument("--model", default="champion", help="delay@3, challenger or an id (default: the champion)")
    parser.add_argument(
        "--bad",
        choices=("fail", "skip", "null"),
        default="fail",
        help="rows the model does not take: write nothing (default), leave them out, or give them no prediction; "
        "the last two tell of them in a file beside",
    )
    parser.add_argument("--no-log", action="store_true", help="leave them out of the prediction log")


def run(options: Namespace) -> Report:
    files, out = options.rows, options.out
    if options.batch:
        if out or len(files) < 2:
            raise UsageError(
                "--batch takes what to read and what to write", hint="keepfit predict --batch in.csv out.csv"
            )
        files, out = files[:-1], Path(files[-1])
    if out and out.suffix not in SUFFIXES:
        raise UsageError(f"`{out}` ends in neither .csv nor .parquet", hint="keepfit predict rows.csv --out out.csv")
    if out:
        refuse_target(out)
    elif len(files) > 1:
        raise UsageError("several files need a place to write to", hint="keepfit predict a.csv b.csv --out out.csv")
    project, home = open_anyway(options.project)
    if out is None:
        return _shown(home, project.name, options.model, Path(files[0]))
    settings = Settings(inputs=files, out=out, model=options.model, bad=options.bad, logged=not options.no_log)
    return _written(home, project.name, settings)


def _written(home: Home, name: str, settings: Settings) -> Report:
    progress = Progress()
    try:
        done = predict_batch(home, name, settings, told=progress.show, note=progress.note)
    finally:
        progress.clear()
    known = f" ({done.kept:,} of them known from an earlier run)" if done.kept else ""
    text = f"{done.rows - done.refused:,} rows predicted by {name}@{done.version}{known}: {done.out}\n  {done.id}"
    if done.refused:
        text += f"\n{done.refused:,} rows refused: {done.refused_file}"
    return Report(done, text)


def _shown(home: Home, name: str, model: str, file: Path) -> Report:
    found = predict_file(home, name, file, model=model)
    moved = [c for c in found.columns if c.endswith(INPUT)]
    note = "".join(f"\n`{c.removesuffix(INPUT)}` of the file is in column `{c}`" for c in moved)
    columns = _few(found.columns)
    shown = [tuple(_cell(v) for v in row) for row in found.head(SHOWN).select(columns).iter_rows()]
    more = f"\n... and {found.height - SHOWN:,} more rows: --out FILE writes them all" if found.height > SHOWN else ""
    return Report(found.to_dicts(), table(columns, shown) + more + note)


def _few(columns: list[str]) -> list[str]:
    """The first inputs and the answers: as many as a terminal takes."""
    answers = columns[columns.index("prediction") :]
    return [*columns[: len(columns) - len(answers)][:INPUTS], *answers[:8]]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)
