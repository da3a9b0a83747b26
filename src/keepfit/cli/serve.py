"""`keepfit serve`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import msgspec

from keepfit.cli.opening import open_anyway
from keepfit.cli.port import port
from keepfit.cli.report import Progress, Report
from keepfit.serving.gateway import serve


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=None, help="(default: [serve] port)")
    parser.add_argument("--host", default=None, help="address to listen on (default: [serve] host, 127.0.0.1)")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    given = {name: value for name in ("host", "port") if (value := getattr(options, name)) is not None}
    progress = Progress()
    serve(home, project.name, msgspec.structs.replace(project.serve, **given), ready=progress.note)
    return Report({"stopped": True}, "stopped")
