"""Loading an unpacked package into a process that will run its code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from keepfit.core.errors import PackageError
from keepfit.features.build import feature_hash, load_function
from keepfit.models import formats
from keepfit.models.metrics import Array
from keepfit.models.predictor import Predictor
from keepfit.models.train import PREDICTION, SIDE
from keepfit.packages.package import Manifest
from keepfit.packages.unpack import read_manifest


class Scorer:
    """A loaded package."""

    def __init__(self, folder: Path, manifest: Manifest, predictor: Predictor) -> None:
        self.folder = folder
        self.manifest = manifest
        self._predictor = predictor

    def predict(self, rows: pl.DataFrame, sides: Mapping[str, pl.DataFrame]) -> Array:
        """Predictions for rows of the signature's columns, as in Predictor.predict."""
        return self._predictor.predict(rows, sides)

    def golden(self) -> pl.DataFrame:
        """The golden rows, with what was joined to them and the answers expected."""
        return pl.read_parquet(self.folder / "golden.parquet", glob=False)

    def score(self, rows: pl.DataFrame) -> Array:
        """Predictions for tested rows, which carry what was joined to them in columns of their own."""
        sides = {s.name: rows[f"{SIDE}{s.name}"].struct.unnest() for s in self.manifest.sides}
        return self.predict(rows.select(list(self.manifest.inputs)), sides)

    def self_test(self) -> None:
        """Score the golden rows; PackageError unless every answer is finite, and every bit as expected."""
        golden = self.golden()
        expected = golden[PREDICTION].to_numpy()
        got = self.score(golden)
        if not np.isfinite(got).all():
            row = int(np.flatnonzero(~np.isfinite(got).reshape(len(got), -1).all(axis=1))[0])
            raise PackageError(f"golden row {row} is answered with {got[row]!r}, which is not finite")
        if expected.shape != got.shape or expected.tobytes() != got.tobytes():
            wrong = np.flatnonzero((expected != got).reshape(len(expected), -1).any(axis=1))
            row = int(wrong[0]) if len(wrong) else 0
            raise PackageError(
                f"{len(wrong)} of {len(expected)} golden rows are answered differently: row {row} expects "
                f"{expected[row]!r}, got {got[row]!r}",
                hint="compare environment.json in the package with what is installed here",
            )


def load(folder: Path) -> Scorer:
    """Load an unpacked package. Runs its code: only in a process made for it."""
    manifest = read_manifest(folder)
    function = load_function(folder / "code", manifest.features) if manifest.features else None
    name = formats.model_file(manifest.members)
    predictor = Predictor(
        model=formats.load(name, (folder / name).read_bytes(), manifest.trust),
        task=manifest.task,
        main=manifest.main,
        features=function,
        feature_hash=feature_hash(manifest.feature_schema),
        pandas=manifest.pandas,
    )
    return Scorer(folder, manifest, predictor)
