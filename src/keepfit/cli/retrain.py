"""`keepfit retrain`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report
from keepfit.loop import Action, State, finish, observe
from keepfit.retraining.policy import open_trigger


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", default="asked for by hand", help="why, for the record")


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    state = observe(project, home)
    trigger = state.trigger or open_trigger(home, project.name, options.reason, state.last)
    progress = Progress()

    def show(action: Action, state: State) -> None:
        progress.show(f"{action.verb}: {action.reason}")

    ended = finish(project, home, trigger, show)
    progress.clear()
    code = {"released": 0, "unchanged": 0, "waiting": 0, "failed": 1}.get(ended.ending or "", 3)
    return Report(ended, f"{ended.ending}: {ended.note}", code)
