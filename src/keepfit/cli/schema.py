"""`keepfit schema`"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from keepfit.cli.report import Report
from keepfit.project import json_schema


def arguments(parser: ArgumentParser) -> None:
    pass


def run(options: Namespace) -> Report:
    schema = json_schema()
    return Report(schema, json.dumps(schema, indent=2))
