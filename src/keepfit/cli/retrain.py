"""`keepfit retrain`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report
from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.loop import Action, State, observe, tick
from keepfit.models.model import find_model
from keepfit.retraining.trigger import find_trigger, open_trigger


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", default="asked for by hand", help="why, for the record")


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    state = observe(project, home)
    trigger = state.trigger or open_trigger(home, project.name, options.reason, state.last)
    progress = Progress()

    def show(action: Action, state: State) -> None:
        progress.show(f"{action.verb}: {action.reason}")

    tick(project, home, show, until=lambda state: state.trigger is None)
    ended = find_trigger(home, trigger.id)
    progress.clear()
    code = {"released": 0, "unchanged": 0, "waiting": 0, "failed": 1}.get(ended.ending or "", 3)
    metrics = "" if ended.ending == "failed" else _metrics(home, project.name)
    return Report(ended, f"{ended.ending}: {ended.note}{metrics}", code)


def _metrics(home: Home, name: str) -> str:
    try:
        model = find_model(home, name, "challenger")
    except NotFound:
        return ""
    return "\n  " + "  ".join([f"{model} on its test:", *(f"{m} {v:.4f}" for m, v in model.metrics.items())])
