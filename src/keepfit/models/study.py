"""A study: the trials of one search, read from the facts of its runs."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import msgspec

from keepfit.core.errors import UsageError
from keepfit.home import Home
from keepfit.ledger import Query, Where
from keepfit.models.space import Dimension, within
from keepfit.models.spec import VALIDATION
from keepfit.models.task import HIGHER_IS_BETTER, METRICS, Task
from keepfit.runs.run import Plan, Run, State, run_of
from keepfit.runs.search import curve
from keepfit.runs.training import TuneSettings

_MOST = 100_000


class Goal(msgspec.Struct, frozen=True):
    """What trials are judged by."""

    metric: str
    """As runs call it."""
    logged: str
    """As `fit` may log it on the way, for pruning."""
    lower: bool
    """Whether the least is best."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One set of parameters that was tried, or is being tried."""

    parameters: dict[str, Any]
    state: State | Literal["running"]
    run: str = ""
    value: float | None = None
    """What it came to by the study's metric; None unless it is done, and gave one."""
    seconds: float = 0.0
    curve: tuple[tuple[int, float], ...] = ()
    """What it logged on the way, where trials are pruned by that."""


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """All trials so far, in the order in which they ended."""

    goal: Goal
    dimensions: list[Dimension]
    trials: list[Trial]

    @property
    def best(self) -> Trial | None:
        """The first of the best trials; None while there is none with a value."""
        done = [t for t in self.trials if t.value is not None]
        sign = 1 if self.goal.lower else -1
        return min(done, key=lambda t: sign * (t.value or 0.0), default=None)

    @property
    def best_so_far(self) -> list[float]:
        """The best value after each trial that gave one."""
        values = (t.value for t in self.trials if t.value is not None)
        return list(itertools.accumulate(values, min if self.goal.lower else max))


def goal_of(settings: TuneSettings, task: Task) -> Goal:
    """What the study aims at; UsageError for a metric that does not fit the task."""
    metric = settings.metric or METRICS[task][0]
    if metric in METRICS[task]:
        return Goal(VALIDATION + metric, metric, metric not in HIGHER_IS_BETTER)
    if settings.better is None:
        fitting = ", ".join(f"`{m}`" for m in METRICS[task])
        raise UsageError(f"a {task} model has no `{metric}` to tune for", hint=f"metrics that fit: {fitting}")
    return Goal(metric, metric, settings.better == "lower")


def plan_trial(plan: Plan, parameters: dict[str, Any]) -> Plan:
    """The plan to try these parameters: learnt and judged within the training rows, so that nothing sees the test."""
    spec = plan.spec | {"validate": True, "parameters": plan.parameters | parameters}
    return msgspec.structs.replace(plan, spec=spec)


def read_trials(
    home: Home, plan: Plan, goal: Goal, dimensions: list[Dimension], *, curves: bool, failed: bool
) -> list[Trial]:
    """The trials there have been with this plan and within these dimensions, whichever command made them.

    `failed`: also those that failed, unless they have been done since.
    """
    any_of_them = plan_trial(plan, {d.name: (d.choices or (d.low,))[0] for d in dimensions})
    query = Query(
        kind="run",
        subject=plan.subject,
        where=(Where("family", "=", any_of_them.family),),
        descending=False,
        limit=_MOST,
    )
    found: dict[str, Run] = {}
    for run in map(run_of, home.ledger.find(query)):
        if run.state != "failed" or (failed and run.key not in found):
            found[run.key] = run
    trials = []
    for run in found.values():
        given = run.spec["parameters"]
        tuned = {d.name: _typed(d, given[d.name]) for d in dimensions if d.name in given}
        if given.items() >= (plan.parameters | tuned).items() and within(dimensions, tuned):
            trials.append(trial_of(home, run, tuned, goal, curves=curves))
    return trials


def trial_of(home: Home, run: Run, parameters: dict[str, Any], goal: Goal, *, curves: bool) -> Trial:
    """The trial that a run was."""
    points = curve(home, run, goal.logged) if curves and goal.logged in run.curves else []
    return Trial(
        parameters=parameters,
        state=run.state,
        run=run.id,
        value=run.metrics.get(goal.metric) if run.state == "done" else None,
        seconds=run.seconds,
        curve=tuple((p.step, p.value) for p in points),
    )


def _typed(dimension: Dimension, value: Any) -> Any:
    """JSON writes 1.0 as a number that may come back whole."""
    wanted = float if not dimension.choices and not dimension.whole else type(value)
    return wanted(value) if isinstance(value, int) and not isinstance(value, bool) else value
