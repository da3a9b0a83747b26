"""`keepfit alerts silence`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import get_args

from keepfit.alerting.alert import find_alert
from keepfit.alerting.silence import silence
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.core.clocks import duration, iso
from keepfit.core.errors import NotFound, did_you_mean
from keepfit.monitoring.symptom import SymptomKind


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", metavar="KIND|ID", help="drift, performance ..., a fault such as drift/wind, or an id")
    parser.add_argument("--for", dest="length", required=True, metavar="TIME", help="how long: 2h, 3d; 0s ends it")
    parser.add_argument("--note", default="", help="for the record")


def run(options: Namespace) -> Report:
    length = duration(options.length)
    project, home = open_anyway(options.project)
    kinds = get_args(SymptomKind)
    what = options.what
    if what.partition("/")[0] not in kinds:
        try:
            what = find_alert(home, project.name, what).fingerprint
        except NotFound as problem:
            raise NotFound(f"`{what}` is no kind and no alert", hint=did_you_mean(what, kinds)) from problem
    made = silence(home, project.name, what, length, options.note)
    told = f"nobody is told of {what} until {iso(made.until)}" if length else f"{what} is told of again"
    return Report(made, told)
