"""A package: everything needed to answer predictions, in one archive that is the same bytes every time.

manifest.dsse.json   what is in it and where it came from, signed (DSSE v1, Ed25519)
model.*              the model, in the format that its name tells (models/formats.py)
golden.parquet       rows with the answers that the model must give, bit for bit
baseline.json        what the training rows looked like
environment.json     what it was trained with
code/                the user's code
"""

from __future__ import annotations

import msgspec

from keepfit.datasets.dataset import Column, Dataset
from keepfit.models.task import Task

ENVELOPE = "manifest.dsse.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a package says of itself; the signature covers it, and it covers every member."""

    format: int = 1
    model: str
    version: int
    task: Task
    main: str
    """Name of the main dataset."""
    label: str
    levels: list[str] | None
    """Names of the classes of a multiclass task, in the order of the probabilities."""
    inputs: dict[str, Column]
    """The columns of a row to predict: the signature."""
    event_time: str | None
    sides: list[Dataset]
    features: str | None
    feature_schema: dict[str, str]
    pandas: bool
    trust: list[str]
    refs: dict[str, str]
    """The facts it rests on: run, model, data versions."""
    members: dict[str, str]
    """Path -> digest of every other member."""
