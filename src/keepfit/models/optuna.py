"""Optuna: which parameters to try next, which trial need not go on, which parameters matter.

Nothing of a study is kept here: each question is put to a study in memory that is made from the
trials so far, with a seed that follows from how many they are. So a search can be taken up again
after any end, and goes on as it would have gone.
"""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from keepfit.core.digests import digest_value
from keepfit.core.errors import UsageError
from keepfit.models.space import Dimension
from keepfit.models.study import Study, Trial
from keepfit.runs.training import TuneSettings

_ATTEMPTS = 10
"""Times that a sampler is asked again when it proposes what was tried before."""
_GRID = 100_000
"""Combinations that a grid may have."""


def suggest(study: Study, running: Sequence[Trial], settings: TuneSettings, seed: int) -> dict[str, Any] | None:
    """A set of parameters that has not been tried, and is not being tried; None when there is none left."""
    tried = [t.parameters for t in (*study.trials, *running)]
    if settings.sampler != "grid":
        for attempt in range(2 * _ATTEMPTS):
            ours = int(digest_value([seed, len(tried), attempt])[:8], 16)
            name = settings.sampler if attempt < _ATTEMPTS else "random"
            with _quiet():
                trial = _study(study, running, sampler=_sampler(name, ours, bool(running))).ask(_space(study))
            if trial.params not in tried:
                return dict(trial.params)
    return next((p for p in _grid(study.dimensions, seed) if p not in tried), None)


class Pruner:
    """Tells of each value a trial logs whether the trial need not go on."""

    def __init__(self, study: Study, parameters: dict[str, Any], settings: TuneSettings) -> None:
        optuna = _optuna()
        made = {
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(),
        }
        with _quiet():
            found = _study(study, (), pruner=made[settings.prune or "median"]())
            found.enqueue_trial(parameters)
            self._trial = found.ask(_space(study))

    def __call__(self, step: int, value: float) -> bool:
        if step < 0:
            return False
        with _quiet():
            self._trial.report(value, step)
            return bool(self._trial.should_prune())


def importance(study: Study, seed: int) -> dict[str, float]:
    """How much of the differences between trials each parameter explains (fANOVA), the most first; may be empty."""
    if len({t.value for t in study.trials if t.value is not None}) < 4 or len(study.dimensions) < 2:
        return {}
    optuna = _optuna()
    with _quiet():
        try:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32)
            found = optuna.importance.get_param_importances(_study(study, ()), evaluator=evaluator)
        except (ImportError, RuntimeError, ValueError):
            return {}
    return {name: float(share) for name, share in found.items()}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as problem:
        raise UsageError("tuning needs optuna", hint="pip install 'keepfit[tune]'") from problem
    return optuna


@contextmanager
def _quiet() -> Iterator[None]:
    optuna = _optuna()
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)


def _study(study: Study, running: Sequence[Trial], **how: Any) -> Any:
    direction = "minimize" if study.goal.lower else "maximize"
    found = _optuna().create_study(direction=direction, study_name="keepfit", **how)
    found.add_trials([_frozen(study, t) for t in (*study.trials, *running)])
    return found


def _frozen(study: Study, trial: Trial) -> Any:
    optuna = _optuna()
    states = optuna.trial.TrialState
    known = {"done": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL, "running": states.RUNNING}
    state = known[trial.state] if trial.state != "done" or trial.value is not None else states.FAIL
    last = trial.curve[-1][1] if trial.curve else None
    return optuna.trial.create_trial(
        state=state,
        value=trial.value if state == states.COMPLETE else last if state == states.PRUNED else None,
        params=trial.parameters,
        distributions=_space(study),
        intermediate_values={step: value for step, value in trial.curve if step >= 0},
    )


def _space(study: Study) -> dict[str, Any]:
    return {d.name: _distribution(d) for d in study.dimensions}


def _distribution(d: Dimension) -> Any:
    kinds = _optuna().distributions
    if d.choices:
        return kinds.CategoricalDistribution(d.choices)
    if d.whole:
        return kinds.IntDistribution(int(d.low), int(d.high), log=d.log, step=int(d.step or 1))
    return kinds.FloatDistribution(float(d.low), float(d.high), log=d.log, step=d.step)


def _sampler(name: str, seed: int, parallel: bool) -> Any:
    samplers = _optuna().samplers
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=parallel)


def _grid(dimensions: Sequence[Dimension], seed: int) -> Iterator[dict[str, Any]]:
    """Every combination; in an order that covers the space early, the same for the same seed."""
    names = [d.name for d in dimensions]
    levels = [random.Random(f"{seed} {d.name}").sample(d.levels(), len(d.levels())) for d in dimensions]
    size = 1
    for one in levels:
        size *= len(one)
    if size > _GRID:
        raise UsageError(f"a grid of {size:,} combinations is too large", hint="take another sampler, or wider steps")
    combinations = list(itertools.product(*levels))
    random.Random(seed).shuffle(combinations)
    return (dict(zip(names, values, strict=True)) for values in combinations)
