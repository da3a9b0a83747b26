"""What kind of thing is predicted, and which metrics mean something for it."""

from __future__ import annotations

from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
Metric = Literal["auc", "brier", "log_loss", "accuracy", "mae", "rmse", "r2"]

METRICS: dict[Task, tuple[Metric, ...]] = {
    "binary": ("auc", "brier", "log_loss", "accuracy"),
    "multiclass": ("accuracy", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
"""The metrics of each task; the first is the one shown when there is room for one."""

ALL_METRICS: tuple[Metric, ...] = ("auc", "brier", "log_loss", "accuracy", "mae", "rmse", "r2")
HIGHER_IS_BETTER: frozenset[Metric] = frozenset({"auc", "accuracy", "r2"})


def gain(metric: Metric, new: float, old: float) -> float:
    """How much better `new` is than `old`; negative when it is worse."""
    return new - old if metric in HIGHER_IS_BETTER else old - new
