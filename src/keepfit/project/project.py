"""The project: everything the user has said, as one frozen value."""

from __future__ import annotations

from pathlib import Path

import msgspec

from keepfit.alerting.settings import AlertSettings
from keepfit.checks.requirement import CheckSettings
from keepfit.core.errors import ProjectError
from keepfit.datasets.dataset import ColumnType, Dataset
from keepfit.home import LEDGER, OBJECTS
from keepfit.models.task import Task
from keepfit.monitoring.settings import WatchSettings
from keepfit.releases.settings import ReleaseSettings
from keepfit.retraining.settings import RetrainSettings
from keepfit.runs.training import TrainSettings
from keepfit.serving.settings import ServeSettings

FILE = "keepfit.toml"

TASKS: dict[ColumnType, Task] = {
    "bool": "binary",
    "category": "multiclass",
    "text": "multiclass",
    "integer": "regression",
    "number": "regression",
}
"""What is learned from a label of each type; there is no learning a time."""


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project, read from keepfit.toml by `load_project` or built in Python."""

    root: Path
    """Its folder, from which every path and import in it starts."""
    name: str
    """Of the model; `model` in keepfit.toml."""
    datasets: tuple[Dataset, ...]
    train: TrainSettings
    check: CheckSettings = CheckSettings()
    release: ReleaseSettings = ReleaseSettings()
    serve: ServeSettings = ServeSettings()
    watch: WatchSettings = WatchSettings()
    alerts: AlertSettings = AlertSettings()
    retrain: RetrainSettings = RetrainSettings()
    ledger: str = LEDGER
    objects: str = OBJECTS
    remote: str | None = None
    """Where `push` and `pull` go to."""

    @property
    def main(self) -> Dataset:
        """The dataset with the label; ProjectError when there is none."""
        for dataset in self.datasets:
            if dataset.label:
                return dataset
        raise ProjectError(f"`{self.name}` has no label", hint='give one column role = "label"')

    @property
    def sides(self) -> tuple[Dataset, ...]:
        """The datasets that are joined to the main one."""
        return tuple(d for d in self.datasets if d is not self.main)

    @property
    def task(self) -> Task:
        """What kind of thing is predicted; ProjectError when the label is a time."""
        main = self.main
        kind = main.columns[main.label or ""].type
        if kind not in TASKS:
            raise ProjectError(f"the label `{main.label}` is a {kind}, which cannot be predicted")
        return TASKS[kind]
