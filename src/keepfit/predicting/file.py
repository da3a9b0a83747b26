"""Predicting the rows of a file with a packaged model, without an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from msgspec.structs import replace

from keepfit.core.errors import DataError, NotFound
from keepfit.datasets.contract import keep_contracts
from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.read import collect, find_files, known_at, places, read_files
from keepfit.features.join import align
from keepfit.home import Home
from keepfit.packages.load import load
from keepfit.predicting.packaged import CHAMPION, packaged

INPUT = " (input)"
"""What the name of an input gets when an answer has the same, as in the prediction log."""


def predict_file(home: Home, name: str, file: Path, *, model: str = CHAMPION) -> pl.DataFrame:
    """The rows of a Parquet or CSV file with the answers of the champion, or another model, beside them.

    A `prediction` column is added: the probability of the positive class, the value, or the
    most likely level with a `probability of <level>` column for each; an input of such a name
    is then called `prediction (input)`. Runs the package's code in this process. Raises NotFound
    when nothing is in production, DataError for a file that does not hold what the model needs,
    ContractBroken for rows that the endpoint would not take.
    """
    found = packaged(home, name, model)
    manifest = found.manifest
    if not file.is_file():
        raise NotFound(f"there is no file `{file}`", hint="keepfit predict rows.csv --out predicted.csv")
    asked = Dataset(name=file.name, source=str(file), columns=manifest.inputs)
    rows = collect(read_files([file], asked), asked)
    if rows.is_empty():
        raise DataError(f"`{file.name}` has no rows", where=str(file))
    keep_contracts(
        [(replace(asked, columns=row_contract(asked.columns)), rows)],
        lambda _, numbers: places(read_files([file], asked, placed=True), [file], numbers),
    )
    sides = {s.name: align(rows, manifest.event_time, s, known_rows(home, s)) for s in manifest.sides}
    answers = answers_of(load(found.folder).predict(rows, sides), manifest.levels)
    taken = {a.name: f"{a.name}{INPUT}" for a in answers if a.name in rows.columns}
    return rows.rename(taken).with_columns(answers)


def row_contract(columns: Mapping[str, Column]) -> dict[str, Column]:
    """What the endpoint holds each row to; promises about a whole table are none of it."""
    return {
        name: Column(
            type=c.type,
            role=c.role if c.role == "event time" else None,
            at_least=c.at_least,
            at_most=None if c.type == "category" else c.at_most,
            levels=c.levels,
            missing=0.0 if c.missing == 0 else None,
        )
        for name, c in columns.items()
    }


def known_rows(home: Home, side: Dataset) -> pl.DataFrame:
    """The rows of a side dataset's files that are known now."""
    frame = read_files(find_files(home.root, side), side)
    return collect(known_at(frame, side, home.clock.now()), side)


def answers_of(prediction: np.ndarray, levels: list[str] | None) -> list[pl.Series]:
    """The columns that answers have beside their rows."""
    if levels is None:
        return [pl.Series("prediction", prediction)]
    best = [levels[i] for i in prediction.argmax(axis=1)]
    each = [pl.Series(f"probability of {level}", prediction[:, i]) for i, level in enumerate(levels)]
    return [pl.Series("prediction", best, dtype=pl.String), *each]
