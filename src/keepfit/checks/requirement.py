"""What the project says a model must meet before it ships."""

from __future__ import annotations

import msgspec

from keepfit.models.task import ALL_METRICS, Metric


class Requirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Demands on one metric."""

    at_least: float | None = None
    at_most: float | None = None
    better_than: str | None = None
    """`base rate`: better than always predicting the training data's mean (or commonest level)."""
    versus_champion: float | None = None
    """The least acceptable lower bound of challenger minus champion (for losses: champion minus challenger)."""


class LatencyRequirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Demand on the time one prediction takes."""

    at_most: str


class SliceRequirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Demands that must hold on every level of some input columns."""

    by: list[str]
    rows: int = 200
    """Levels with fewer labelled test rows are not judged."""
    auc: Requirement | None = None
    brier: Requirement | None = None
    log_loss: Requirement | None = None
    accuracy: Requirement | None = None
    mae: Requirement | None = None
    rmse: Requirement | None = None
    r2: Requirement | None = None


class CheckSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[check]` section: the plan a model is held against."""

    auc: Requirement | None = None
    brier: Requirement | None = None
    log_loss: Requirement | None = None
    accuracy: Requirement | None = None
    mae: Requirement | None = None
    rmse: Requirement | None = None
    r2: Requirement | None = None
    p99: LatencyRequirement | None = None
    load: str | list[str] = []
    """Demands on the package behind its endpoint: `"p99 <= 20ms at 500/s"`, `"p50 <= 5ms at 64 connections"`."""
    slower: float = 20.0
    """How many times as long as the champion's an answer may take (what is below 10 ms passes)."""
    memory: str = "50%"
    """The most memory the model's process may take while it is tried: `500MB`, or a share of the machine's."""
    trial_within: str = "25s"
    """How long the model may take to load and answer its golden rows."""
    slices: SliceRequirement | None = None
    also: list[str] = []
    """`module:function` of the user's, given the tested rows with label and prediction; True passes."""
    tests: str | None = None
    """Folder of the user's own tests, run by pytest."""

    @property
    def loads(self) -> list[str]:
        """The demands under load."""
        return [self.load] if isinstance(self.load, str) else self.load


def requirements(section: CheckSettings | SliceRequirement) -> dict[Metric, Requirement]:
    """The metrics a section makes demands on."""
    return {m: r for m in ALL_METRICS if (r := getattr(section, m)) is not None}
