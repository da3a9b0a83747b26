"""`keepfit why`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.lineage import why


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", help="a prediction, release, package, model or run: an id, or delay@3, champion ...")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    links = why(project, home, options.what)
    width = max(len(link.id) for link in links)
    lines = [f"{link.kind:<12}{link.id:<{width}}  {link.text}" for link in links]
    return Report(links, "\n".join(lines))
