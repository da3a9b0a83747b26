"""`keepfit check`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

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
    verdicts = [steps.check(project, home, model)]
    if verdicts[0].passed:
        progress.show(f"packaging {model} and trying it in a fresh process ...")
        verdicts.append(steps.package(project, home, model, verdicts[0])[1])
    progress.clear()
    return report(str(model), verdicts)


def report(model: str, verdicts: Sequence[Verdict]) -> Report:
    """The gates as a table; exit code 3 when one failed."""
    gates = [g for v in verdicts for g in v.gates]
    passed = all(g.passed for g in gates)
    rows = [(("ok" if g.passed else "FAILED"), g.stage, g.name, g.required, g.found) for g in gates]
    failed = sum(not g.passed for g in gates)
    ending = f"{model} may ship" if passed else f"{model} may not ship: {failed} of {len(gates)} gates failed"
    text = table(("", "about", "gate", "required", "found"), rows) + "\n\n" + ending
    return Report({"model": model, "passed": passed, "verdicts": list(verdicts)}, text, 0 if passed else 3)
