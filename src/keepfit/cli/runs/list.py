"""`keepfit runs list`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.cli.runs.showing import as_csv, listed, value_of
from keepfit.core.errors import UsageError
from keepfit.models.spec import MODULE, VALIDATION
from keepfit.models.task import ALL_METRICS, HIGHER_IS_BETTER
from keepfit.runs.search import search

_LOWER = [prefix + m for m in ALL_METRICS if m not in HIGHER_IS_BETTER for prefix in ("", VALIDATION)]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--where", metavar="CONDITION", help="auc > 0.7 and (kind = 'l2' or not depth in (3, 4))")
    ordering(parser)


def ordering(parser: ArgumentParser) -> None:
    """What every list of runs takes beside its condition."""
    parser.add_argument("--sort", metavar="NAME", help="best first by a metric or parameter; or: 'loss asc'")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (default: 20)")
    parser.add_argument("--all", action="store_true", help="also what checks and packages ran, not only trainings")
    parser.add_argument("--csv", action="store_true", help="print as CSV, all columns")


def run(options: Namespace) -> Report:
    if options.limit < 1:
        raise UsageError(f"`--limit {options.limit}` is less than 1", hint="keepfit runs --limit 20")
    project, home = open_anyway(options.project)
    runs = search(
        home,
        f"model/{project.name}",
        module=None if options.all else MODULE,
        where=options.where,
        sort=options.sort,
        lower_is_better=_LOWER,
        limit=options.limit,
    )
    values = [value_of(run) for run in runs]
    if options.csv:
        return Report(values, as_csv(values))
    if not runs:
        return Report(values, "no run fits" if options.where else "no run yet: keepfit train")
    return Report(values, listed(runs, project.main.name))
