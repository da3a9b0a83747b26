"""`keepfit retrain`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report
from keepfit.cli.telling import tell
from keepfit.home import Home
from keepfit.loop import Action, State, observe, tick
from keepfit.models.model import find_model
from keepfit.retraining.trigger import Trigger, find_trigger, open_trigger
from keepfit.retraining.trigger import progress as steps_done


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
    tell(project, home)
    ended = find_trigger(home, trigger.id)
    progress.clear()
    code = {"released": 0, "rolling out": 0, "unchanged": 0, "waiting": 0, "failed": 1}.get(ended.ending or "", 3)
    return Report(ended, f"{ended.ending}: {ended.note}{_metrics(home, ended)}", code)


def _metrics(home: Home, trigger: Trigger) -> str:
    """The figures of the model that came of it, if one did."""
    made = steps_done(home, trigger).get("model")
    if made is None:
        return ""
    name = made.subject.removeprefix("model/")
    model = find_model(home, name, made.id)
    return "\n  " + "  ".join([f"{model} on its test:", *(f"{m} {v:.4f}" for m, v in model.metrics.items())])
