"""What the project says of training."""

from __future__ import annotations

from typing import Literal

import msgspec

Value = float | int | str | bool


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The values to try of one parameter, where `[from, to]` or a list of choices does not say enough."""

    low: int | float | None = msgspec.field(name="from", default=None)
    high: int | float | None = msgspec.field(name="to", default=None)
    log: bool = False
    """Try as many values between 1 and 10 as between 10 and 100."""
    step: int | float | None = None
    """Only `from`, `from + step`, `from + 2 step` ..."""
    among: list[Value] | None = None
    """Only these; for choices that are two numbers."""


class TuneSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `keepfit tune` searches: a key per parameter of `fit`, and how."""

    trials: int = 30
    """How many different sets of parameters to try, all in all."""
    metric: str | None = None
    """What to judge by: a metric of the task (the first if unset), or one that `fit` logs or gives back."""
    better: Literal["higher", "lower"] | None = None
    """Which values of `metric` are good; known for the task's own metrics."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How to choose: from what did well so far, at random, or every combination."""
    prune: Literal["median", "hyperband"] | None = None
    """End trials early that do worse than the others did, by the values that `fit` logs of `metric`."""
    over: dict[str, list[Value] | Range] = msgspec.field(name="*", default={})
    """A parameter of `fit`: `[3, 8]` is a range, `["a", "b"]` or more than two numbers are choices."""


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train]` section."""

    fit: str
    """`module:function` that takes X, y (and seed, and parameters by name) and returns a fitted model."""
    features: str | None = None
    """`module:function` from tables to a row of features per row of the main one; the inputs themselves if unset."""
    window: str | None = None
    """How much of the newest labelled data to learn from and test on; everything if unset."""
    test: str = "last 20%"
    """The newest part of the window, for testing: `last 14d` or `last 20%`; without an event time drawn by seed."""
    seed: int = 0
    threads: int = 1
    """Threads a training run may use; pinned, since some libraries give other bits with other counts."""
    parameters: dict[str, float | int | str | bool] = {}
    """Passed to `fit` by name."""
    tune: TuneSettings | None = None
    """What `keepfit tune` searches: `{ trials = 40, rate = [0.03, 0.3], depth = [3, 8], kind = ["a", "b"] }`."""
    trust: list[str] = []
    """Classes beyond scikit-learn's own that a saved model may contain, as `module.Class`."""
    pickle: bool = False
    """Whether a model that no format without code can hold may be pickled; loading a pickle runs what is in it."""
