"""Predicting the rows of a file with a packaged model, without an endpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from keepfit.core.errors import NotFound
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.read import collect, find_files, known_at, read_files
from keepfit.features.join import align
from keepfit.home import Home
from keepfit.packages.load import load
from keepfit.packages.package import Manifest
from keepfit.packages.unpack import unpack
from keepfit.releases.release import champion


def predict_file(home: Home, name: str, file: Path) -> pl.DataFrame:
    """The rows of a Parquet or CSV file with the champion's answers beside them.

    A `prediction` column is added: the probability of the positive class, the value, or the
    most likely level with a `probability of <level>` column for each. Runs the package's code
    in this process. Raises NotFound when nothing is in production, DataError for a file that
    does not hold what the model needs.
    """
    live = champion(home, name)
    if live is None:
        raise NotFound(f"no version of `{name}` is in production", hint="keepfit retrain")
    if not file.is_file():
        raise NotFound(f"there is no file `{file}`", hint="keepfit predict rows.csv --out predicted.csv")
    folder = home.folder / "pins" / live.package[:16]
    manifest = unpack(home, live.package, folder)
    asked = Dataset(name=file.name, source=str(file), columns=manifest.inputs)
    rows = collect(read_files([file], asked), asked)
    sides = {s.name: align(rows, manifest.event_time, s, _known(home, s)) for s in manifest.sides}
    return rows.with_columns(_answers(load(folder).predict(rows, sides), manifest))


def _known(home: Home, side: Dataset) -> pl.DataFrame:
    frame = read_files(find_files(home.root, side), side)
    return collect(known_at(frame, side, home.clock.now()), side)


def _answers(prediction: np.ndarray, manifest: Manifest) -> list[pl.Series]:
    if manifest.levels is None:
        return [pl.Series("prediction", prediction)]
    best = [manifest.levels[i] for i in prediction.argmax(axis=1)]
    each = [pl.Series(f"probability of {level}", prediction[:, i]) for i, level in enumerate(manifest.levels)]
    return [pl.Series("prediction", best), *each]
