"""`keepfit package`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keepfit import steps
from keepfit.cli.check import report
from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report
from keepfit.cli.target import refuse_target
from keepfit.core.files import write_file
from keepfit.models.model import find_model
from keepfit.objects import read


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default="challenger", help="delay@3, champion, challenger or an id")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the archive there (default: NAME-VERSION.zip)")


def run(options: Namespace) -> Report:
    if options.out:
        refuse_target(options.out)
    project, home = open_project(options.project)
    model = find_model(home, project.name, options.model)
    progress = Progress()
    progress.show(f"packaging and checking {model} ...")
    built = steps.package(home, model)
    verdict = steps.check(project, home, built)
    out = options.out or Path(f"{model.name}-{model.version}.zip")
    write_file(out, read(home.objects, built.refs["package"]))
    progress.clear()
    told = report(str(model), verdict)
    text = f"{told.text}\n\n{out}  {built.body['bytes']:,} bytes, signed\n  {built.id}"
    value = {**told.value, "package": built.id, "digest": built.refs["package"], "file": str(out)}
    return Report(value, text, told.exit_code)
