"""`keepfit init`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keepfit.cli.report import Report
from keepfit.infra.scaffold import scaffold


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="a CSV or Parquet file with one row per thing to learn from")
    parser.add_argument("--label", metavar="COLUMN", help="what to predict (default: guessed, where it is plain)")
    parser.add_argument("--name", help="of the model (default: the file's)")


def run(options: Namespace) -> Report:
    written = scaffold(options.data, options.project, label=options.label, name=options.name)
    lines = [f"wrote {path}" for path in written]
    text = "\n".join([*lines, "", "read keepfit.toml, then: keepfit train"])
    return Report({"written": [str(path) for path in written]}, text)
