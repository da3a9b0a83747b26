"""Searching for good parameters: every trial is a run, and the runs are all that is remembered of the search."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import msgspec

from keepfit.core.errors import DataError, KeepfitError, NotEnoughData, UserCodeError
from keepfit.engines import Engine, Outcome, Step
from keepfit.home import Home
from keepfit.models.optuna import Pruner, suggest
from keepfit.models.space import space
from keepfit.models.study import Study, Trial, goal_of, plan_trial, read_trials, trial_of
from keepfit.models.task import Task
from keepfit.runs.execute import execute
from keepfit.runs.hear import Said
from keepfit.runs.run import Plan
from keepfit.runs.training import TuneSettings

_HOPELESS = 3
"""Trials that fail before any is done, after which the search is given up."""

Report = Callable[[Study, list[Trial]], None]
"""Told of the study and of the trials that run now, whenever a trial begins or ends."""


def tune(
    home: Home,
    plan: Plan,
    settings: TuneSettings,
    task: Task,
    *,
    jobs: int = 1,
    again: bool = False,
    report: Report = lambda study, running: None,
) -> Study:
    """The study of this plan, with as many trials as the settings ask for; those made before are taken up.

    Trials are judged on the newest part of the training rows; the test rows are not looked at.
    With one job at a time the same plan, settings and seed try the same parameters in the same
    order, whether or not the search was interrupted. `again`: trials that failed are tried again.
    Raises what the function raised when the first trials all fail.
    """
    goal, dimensions, curves = goal_of(settings, task), space(settings), settings.prune is not None
    engine = _Recallable(home.engine)
    home = dataclasses.replace(home, engine=engine)
    done = read_trials(home, plan, goal, dimensions, curves=curves, failed=not again)
    study = Study(goal=goal, dimensions=dimensions, trials=done)
    running: dict[Future[Trial], Trial] = {}
    pool = ThreadPoolExecutor(jobs)
    problems: list[KeepfitError] = []
    try:
        while True:
            while len(running) < jobs and len(study.trials) + len(running) < settings.trials:
                parameters = suggest(study, list(running.values()), settings, plan.seed)
                if parameters is None:
                    break
                future = pool.submit(_try, home, plan, study, parameters, settings, problems)
                running[future] = Trial(parameters=parameters, state="running")
            report(study, list(running.values()))
            if not running:
                return study
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                running.pop(future)
                study = msgspec.structs.replace(study, trials=[*study.trials, future.result()])
            if len(problems) >= _HOPELESS and study.best is None:
                raise problems[0]
    finally:
        engine.recall()
        pool.shutdown()


def _try(
    home: Home,
    plan: Plan,
    study: Study,
    parameters: dict[str, Any],
    settings: TuneSettings,
    problems: list[KeepfitError],
) -> Trial:
    pruner = Pruner(study, parameters, settings) if settings.prune else None

    def heard(said: Said) -> bool:
        return pruner is not None and said.name == study.goal.logged and pruner(said.step, said.value)

    try:
        run = execute(home, plan_trial(plan, parameters), heard=heard if pruner else None)
    except (UserCodeError, NotEnoughData, DataError) as problem:
        problems.append(problem)
        return Trial(parameters=parameters, state="failed")
    return trial_of(home, run, parameters, study.goal, curves=pruner is not None)


class _Recallable:
    """An engine all of whose steps can be ended at once; whoever waits for one then gets no result."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tickets: list[str] = []
        self._recalled = threading.Event()

    def submit(self, step: Step) -> str:
        ticket = self._engine.submit(step)
        self._tickets.append(ticket)
        if self._recalled.is_set():
            self._engine.cancel(ticket)
        return ticket

    def watch(self, ticket: str) -> Iterator[str]:
        return self._engine.watch(ticket)

    def result(self, ticket: str) -> Outcome:
        outcome = self._engine.result(ticket)
        if self._recalled.is_set():
            raise KeyboardInterrupt
        return outcome

    def cancel(self, ticket: str) -> None:
        self._engine.cancel(ticket)

    def recall(self) -> None:
        self._recalled.set()
        for ticket in self._tickets:
            self._engine.cancel(ticket)
