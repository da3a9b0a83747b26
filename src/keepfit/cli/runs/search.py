"""`keepfit runs search`"""

from __future__ import annotations

from argparse import ArgumentParser

from keepfit.cli.runs.list import ordering, run

__all__ = ["arguments", "run"]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("where", metavar="CONDITION", help="auc > 0.7 and (rate < 0.1 or state != 'done')")
    ordering(parser)
