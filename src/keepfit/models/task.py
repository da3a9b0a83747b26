"""What kind of thing is predicted, and how it is measured."""

from __future__ import annotations

from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
Metric = Literal["auc", "brier", "log_loss", "accuracy", "mae", "rmse", "r2"]

METRICS: dict[Task, tuple[Metric, ...]] = {
    "binary": ("auc", "brier", "log_loss", "accuracy"),
    "multiclass": ("accuracy", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
"""The metrics that mean something for each task; the first is the one shown when there is room for one."""

HIGHER_IS_BETTER: frozenset[Metric] = frozenset({"auc", "accuracy", "r2"})
