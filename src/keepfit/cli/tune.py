"""`keepfit tune`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from keepfit import steps
from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report, table
from keepfit.core.errors import UsageError
from keepfit.core.files import write_file
from keepfit.models.model import ModelVersion
from keepfit.models.study import Study, Trial
from keepfit.pages.spark import figure, spark
from keepfit.project import Project

_SHOWN = 10


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trials at a time (default: 1)")
    parser.add_argument("--trials", type=int, metavar="N", help="instead of the number under [train] tune")
    parser.add_argument("--again", action="store_true", help="try parameters that failed again")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with history and importance there")


def run(options: Namespace) -> Report:
    from keepfit.models.optuna import importance

    project, home = open_project(options.project)
    if options.jobs < 1 or (options.trials is not None and options.trials < 1):
        raise UsageError("`--jobs` and `--trials` must be at least 1", hint="keepfit tune --jobs 2 --trials 40")
    project = _with_trials(project, options.trials)
    watching = _Watching(project)
    try:
        study, model, made = steps.tune(project, home, jobs=options.jobs, again=options.again, report=watching)
    finally:
        watching.progress.clear()
    shares = importance(study, project.train.seed)
    text = _told(study, shares, model)
    if options.html:
        from keepfit.models.study_page import study_page

        write_file(options.html, study_page(project.name, study, shares).encode())
        text += f"\nwrote {options.html}"
    value = {"best": study.best, "trials": study.trials, "importance": shares, "model": model, "run": made.id}
    return Report(value, text)


class _Watching:
    """Shows how the search goes: a line for each new best, and one that changes."""

    def __init__(self, project: Project) -> None:
        self.progress = Progress()
        self._total = project.train.tune.trials if project.train.tune else 0
        self._best: Trial | None = None
        self._new = False

    def __call__(self, study: Study, running: list[Trial]) -> None:
        if not self.progress.watched:
            return
        best = study.best
        if best and best != self._best and self._new:
            self.progress.note(
                f"{len(study.trials):>5}  {study.goal.metric} {figure(best.value)}  {_set(best.parameters)}"
            )
        self._best, self._new = best, True
        told = f", best {study.goal.metric} {figure(best.value)}" if best else ""
        doing = f"; trying {_set(running[-1].parameters)}" if running else "; training with the best"
        self.progress.show(f"{len(study.trials)} of {self._total} trials{told}{doing} ...")


def _with_trials(project: Project, trials: int | None) -> Project:
    if trials is None or project.train.tune is None:
        return project
    return replace(project, train=replace(project.train, tune=replace(project.train.tune, trials=trials)))


def _told(study: Study, shares: dict[str, float], model: ModelVersion) -> str:
    best = study.best
    ranked = sorted((t for t in study.trials if t.value is not None), key=lambda t: t.value or 0.0)
    ranked = ranked if study.goal.lower else ranked[::-1]
    names = [d.name for d in study.dimensions]
    rows = [(figure(t.value), *(figure(t.parameters[n]) for n in names), f"{t.seconds:.1f}", t.run) for t in ranked]
    states = {s: sum(t.state == s for t in study.trials) for s in ("done", "pruned", "failed")}
    lines = [
        table((study.goal.metric, *names, "seconds", "run"), rows[:_SHOWN], right=range(2 + len(names))),
        *([f"... and {len(rows) - _SHOWN} more: keepfit runs --sort {study.goal.metric}"] if rows[_SHOWN:] else []),
        "",
        f"trials      {', '.join(f'{count} {state}' for state, count in states.items() if count)}",
        f"history     {spark(study.best_so_far)}  the best so far",
    ]
    width = max(map(len, shares), default=0)
    lines += [
        f"{'importance' if i == 0 else '':<12}{name:<{width}}  {'█' * round(30 * share)} {share:.2f}"
        for i, (name, share) in enumerate(shares.items())
    ]
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in model.metrics.items())
    lines += ["", f"{model}  trained with the best parameters; on the test rows, which no trial saw: {metrics}"]
    if best:
        kept = [f"  {name} = {_toml(value)}" for name, value in best.parameters.items()]
        lines += ["", "to keep them, write in keepfit.toml:", "  [train.parameters]", *kept]
    return "\n".join([*lines, "", f"next: keepfit check {model}"])


def _set(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {figure(value)}" for name, value in parameters.items())


def _toml(value: object) -> str:
    if isinstance(value, str):
        import json

        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)
