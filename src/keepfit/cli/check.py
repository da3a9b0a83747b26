"""`keepfit check`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit import steps
from keepfit.checks.gate import Verdict
from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report, table
from keepfit.models.model import find_model


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default="challenger", help="delay@3, champion, challenger or an id")


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    model = find_model(home, project.name, options.model)
    progress = Progress()
    progress.show(f"checking {model} ...")
    verdict = steps.check(project, home, steps.package(home, model))
    progress.clear()
    return report(str(model), verdict)


def report(model: str, verdict: Verdict) -> Report:
    """The gates as a table; exit code 3 when one failed."""
    gates, passed = verdict.gates, verdict.passed
    rows = [(("ok" if g.passed else "FAILED"), g.stage, g.name, g.required, g.found) for g in gates]
    failed = sum(not g.passed for g in gates)
    ending = f"{model} may ship" if passed else f"{model} may not ship: {failed} of {len(gates)} gates failed"
    text = table(("", "about", "gate", "required", "found"), rows) + "\n\n" + ending
    return Report({"model": model, "passed": passed, "verdict": verdict}, text, 0 if passed else 3)
