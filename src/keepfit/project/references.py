"""Rules of the user's functions: they exist, and what they take is what they can be given."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from keepfit.checks.requirement import CheckSettings
from keepfit.core.errors import ProjectError, UsageError, did_you_mean
from keepfit.core.toml import Key
from keepfit.datasets.dataset import Dataset
from keepfit.models.space import dimension
from keepfit.models.task import ALL_METRICS
from keepfit.project.sections import Problem
from keepfit.runs.functions import Function, Parameter, find_function
from keepfit.runs.training import TrainSettings

GIVEN = ("X", "y", "seed", "log")
"""What `train.fit` is always offered."""


def reference_rules(
    root: Path,
    data: Sequence[Dataset] | None,
    main: Dataset | None,
    train: TrainSettings | None,
    check: CheckSettings | None,
) -> Iterator[Problem]:
    """What is wrong with the functions that the sections name; sections that are None are not looked at."""
    if train:
        fit = yield from _found(root, train.fit, ("train", "fit"))
        if fit:
            yield from _fit_rules(fit, train)
        if train.features:
            features = yield from _found(root, train.features, ("train", "features"))
            if features and data is not None:
                yield from _features_rules(features, [d.name for d in data], main)
    for i, reference in enumerate(check.also if check else ()):
        judge = yield from _found(root, reference, ("check", "also", i))
        if judge:
            yield from _judge_rules(judge)


def _found(root: Path, reference: str, key: Key) -> Generator[Problem, None, Function | None]:
    try:
        return find_function(root, reference)
    except ProjectError as problem:
        yield Problem(problem.message, key, problem.hint, problem.where)
        return None


def _features_rules(function: Function, names: list[str], main: Dataset | None) -> Iterator[Problem]:
    yield from _by_name(function)
    for parameter in function.parameters:
        if parameter.name not in names and not parameter.has_default:
            message = f"`{function.name}` asks for `{parameter.name}`, which is no dataset"
            yield _at(function, parameter, message, did_you_mean(parameter.name, names))
    if main and main.name not in [p.name for p in function.parameters]:
        message = f"`{function.name}` does not take the main dataset `{main.name}`"
        yield Problem(message, hint=f"def {function.name}({main.name}, ...)", where=function.where)


def _fit_rules(function: Function, train: TrainSettings) -> Iterator[Problem]:
    yield from _by_name(function)
    taken = [p.name for p in function.parameters]
    for parameter in function.parameters:
        if parameter.name not in (*GIVEN, *train.parameters) and not parameter.has_default:
            message = f"`{function.name}` asks for `{parameter.name}`, which nothing gives"
            hint = f"give it a default, or write {parameter.name} = ... under [train.parameters]"
            yield _at(function, parameter, message, hint)
    for name in ("X", "y"):
        if name not in taken:
            form = f"def {function.name}(X, y, ...)"
            yield Problem(f"`{function.name}` does not take `{name}`", hint=form, where=function.where)
    for name in train.parameters:
        key: Key = ("train", "parameters", name)
        if name in GIVEN:
            remedy = "write seed under [train]" if name == "seed" else None
            yield Problem(f"`{name}` is always given and cannot be a parameter", key, remedy)
        elif name not in taken:
            known = did_you_mean(name, [t for t in taken if t not in GIVEN])
            yield Problem(f"`{function.name}` takes no `{name}`", key, known)
    yield from _tune_rules(function, train)


def _tune_rules(function: Function, train: TrainSettings) -> Iterator[Problem]:
    tune, key = train.tune, ("train", "tune")
    if tune is None:
        return
    taken = [p.name for p in function.parameters if p.name not in GIVEN]
    for name, values in tune.over.items():
        if name not in taken:
            known = did_you_mean(name, [*taken, *(f for f in tune.__struct_fields__ if f != "over")])
            yield Problem(f"`{function.name}` takes no `{name}`", (*key, name), known)
        try:
            dimension(name, values)
        except UsageError as problem:
            yield Problem(problem.message, (*key, name), problem.hint)
    if not tune.over:
        yield Problem("nothing is searched", key, "add a parameter of fit: rate = [0.03, 0.3]")
    if tune.trials < 1:
        yield Problem(f"`trials` must be at least 1, not `{tune.trials}`", (*key, "trials"))
    if tune.metric and tune.metric not in ALL_METRICS and tune.better is None:
        hint = did_you_mean(tune.metric, ALL_METRICS)
        if not (hint or "").startswith("did"):
            hint = 'write better = "higher" or better = "lower"'
        yield Problem(f"whether higher values of `{tune.metric}` are better is not known", (*key, "metric"), hint)


def _judge_rules(function: Function) -> Iterator[Problem]:
    needed = [p for p in function.parameters if not p.has_default]
    if not function.parameters or len(needed) > 1:
        message = f"`{function.name}` must take one parameter, the tested rows"
        yield Problem(message, hint=f"def {function.name}(test) -> bool", where=function.where)


def _by_name(function: Function) -> Iterator[Problem]:
    for parameter in function.parameters:
        if not parameter.by_name:
            message = f"`{function.name}` takes `{parameter.name}` by position only"
            yield _at(function, parameter, message, "take away the `/`: everything is given by name")


def _at(function: Function, parameter: Parameter, message: str, hint: str | None) -> Problem:
    return Problem(message, hint=hint, where=function.place(parameter))
