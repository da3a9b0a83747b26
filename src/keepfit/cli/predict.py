"""`keepfit predict`"""

from __future__ import annotations

import io
from argparse import ArgumentParser, Namespace
from pathlib import Path

import polars as pl

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report, table
from keepfit.cli.target import refuse_target
from keepfit.core.errors import UsageError
from keepfit.core.files import write_file
from keepfit.predicting.file import INPUT, predict_file

SHOWN = 20
INPUTS = 5
"""Input columns shown; --out writes them all."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, help="a CSV or Parquet file")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write rows and predictions there (.csv or .parquet)")


def run(options: Namespace) -> Report:
    if options.out and options.out.suffix not in (".csv", ".parquet"):
        raise UsageError(
            f"`{options.out}` ends in neither .csv nor .parquet", hint="keepfit predict rows.csv --out out.csv"
        )
    if options.out:
        refuse_target(options.out)
    project, home = open_anyway(options.project)
    found = predict_file(home, project.name, options.rows)
    moved = [c for c in found.columns if c.endswith(INPUT)]
    note = "".join(f"\n`{c.removesuffix(INPUT)}` of the file is in column `{c}`" for c in moved)
    if options.out:
        write_file(options.out, _encoded(found, options.out.suffix))
        value = {"rows": found.height, "file": str(options.out)}
        return Report(value, f"{found.height:,} rows predicted: {options.out}{note}")
    columns = _few(found.columns)
    shown = [tuple(_cell(v) for v in row) for row in found.head(SHOWN).select(columns).iter_rows()]
    more = f"\n... and {found.height - SHOWN:,} more rows: --out FILE writes them all" if found.height > SHOWN else ""
    return Report(found.to_dicts(), table(columns, shown) + more + note)


def _encoded(rows: pl.DataFrame, suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".csv":
        rows.write_csv(buffer)
    else:
        rows.write_parquet(buffer)
    return buffer.getvalue()


def _few(columns: list[str]) -> list[str]:
    """The first inputs and the answers: as many as a terminal takes."""
    answers = columns[columns.index("prediction") :]
    return [*columns[: len(columns) - len(answers)][:INPUTS], *answers[:8]]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)
