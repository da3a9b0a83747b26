"""What a training step is told, and what it says of its result."""

from __future__ import annotations

from datetime import datetime

import msgspec

from keepfit.datasets.dataset import Dataset
from keepfit.models.task import Task

MODULE = "keepfit.models.train"
"""The training step."""
VALIDATION = "validation_"
"""What the names of metrics begin with that are not of the test."""


class TrainSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All the training step is told."""

    task: Task
    main: Dataset
    sides: list[Dataset]
    fit: str
    features: str | None
    parameters: dict[str, float | int | str | bool]
    seed: int
    trust: list[str]
    pickle: bool = False
    known: datetime | None
    """What is known after this time is not used; None: everything."""
    start: datetime | None
    test_from: datetime | None
    """Rows from here on are for testing only; None: `test_share` of them, drawn by `seed` without an event time."""
    test_share: float
    validate: bool = False
    """Test on the newest part of the training rows, as large a part as the test has of all; nothing sees the test."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What came out, apart from the files."""

    train_rows: int
    test_rows: int
    train_from: datetime | None
    train_until: datetime | None
    test_until: datetime | None
    base_rates: list[float]
    """Mean of the training labels; per level for a multiclass task."""
    levels: list[str] | None
    features: dict[str, str]
    """Name -> type of each feature."""
    model_class: str
    pandas: bool
