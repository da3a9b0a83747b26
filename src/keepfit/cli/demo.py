"""`keepfit demo`"""

from __future__ import annotations

import shlex
import shutil
import sys
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path

from keepfit.cli.port import port
from keepfit.cli.replaying import replay_and_review
from keepfit.cli.report import Progress, Report
from keepfit.core.errors import UsageError
from keepfit.demo.project import write_project

_START = datetime(2013, 3, 1, tzinfo=UTC)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--months", type=int, default=12, metavar="N", help="how far into 2013 to go, 3 to 12 (default: 12)"
    )
    parser.add_argument(
        "--to", type=Path, default=Path("keepfit-demo"), metavar="DIR", help="where to write the project"
    )
    parser.add_argument("--port", type=port, default=None, help="of the endpoint (default: any free one)")


def run(options: Namespace) -> Report:
    if not 3 <= options.months <= 12:
        raise UsageError(f"`--months {options.months}` is not between 3 and 12", hint="keepfit demo --months 3")
    if options.project != Path():
        message = "`--project` means nothing here: the demo writes a project of its own"
        raise UsageError(message, hint=f"keepfit demo --to {options.project}")
    progress = Progress()
    progress.note(f"writing the flights of New York 2013 as a project to {options.to}/")
    folder = write_project(options.to)
    until = datetime(2013 + options.months // 12, options.months % 12 + 1, 1, tzinfo=UTC)
    found = replay_and_review(folder, start=_START, until=until, port=options.port or 0)
    command = f"{_command()} {{}} --project {shlex.quote(str(folder))}"
    after = [f"  {command.format(words)}" for words in ("status", "why champion", "up")]
    return Report(found.value, "\n".join([found.text, "", f"the project is in {folder}; go on with", *after]))


def _command() -> str:
    """How keepfit is called from here."""
    if shutil.which("keepfit"):
        return "keepfit"
    here = Path(sys.argv[0])
    return shlex.quote(str(here)) if here.name == "keepfit" else f"{shlex.quote(sys.executable)} -m keepfit"
