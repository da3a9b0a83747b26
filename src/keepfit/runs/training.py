"""What the project says of training."""

from __future__ import annotations

import msgspec


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train]` section."""

    fit: str
    """`module:function` that takes X, y (and seed, and parameters by name) and returns a fitted model."""
    features: str | None = None
    """`module:function` from tables to a row of features per row of the main one; the inputs themselves if unset."""
    window: str | None = None
    """How much of the newest labelled data to learn from and test on; everything if unset."""
    test: str = "last 20%"
    """The newest part of the window, kept for testing: `last 14d` or `last 20%`."""
    seed: int = 0
    threads: int = 1
    """Threads a training run may use; pinned, since some libraries give other bits with other counts."""
    parameters: dict[str, float | int | str | bool] = {}
    """Passed to `fit` by name."""
    trust: list[str] = []
    """Classes beyond scikit-learn's own that a saved model may contain, as `module.Class`."""
    pickle: bool = False
    """Whether a model that no format without code can hold may be pickled; loading a pickle runs what is in it."""
