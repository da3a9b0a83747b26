"""A logged prediction given again by the reproduced model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from keepfit.checks.judge import JudgeSpec
from keepfit.core.digests import digest_bytes
from keepfit.core.files import write_file
from keepfit.datasets.read import DTYPES
from keepfit.home import Home
from keepfit.models.formats import model_file
from keepfit.models.train import PREDICTION, SIDE, TRUTH
from keepfit.packages.package import Manifest
from keepfit.packages.unpack import unpack
from keepfit.reproduction.proof import Output
from keepfit.serving.log import input_column, side_column
from keepfit.serving.online import OnlineRows
from keepfit.serving.records import Records

JUDGE = "keepfit.checks.judge"


def answer_again(
    home: Home, package: str, row: dict[str, Any], made: Path, folder: Path, *, step: Callable[[str, Path], None]
) -> Output:
    """The prediction of a logged row by the model in `made`, beside the one that was given, to the last bit.

    `step` runs a module on a folder in the reproduced environment. Side rows are those that were
    logged with it; where none were, those that the endpoint still knows, joined by the rule of time.
    """
    manifest = unpack(home, package, folder / "champion")
    name = model_file(manifest.members)
    (folder / "champion" / name).write_bytes((made / name).read_bytes())
    (folder / "out").mkdir()
    (folder / "code").mkdir()
    rows = _asked(home, manifest, row)
    rows.write_parquet(folder / "test.parquet")
    spec = JudgeSpec(test=digest_bytes((folder / "test.parquet").read_bytes()), champion=package, also=[])
    write_file(folder / "spec.json", msgspec.json.encode(spec))
    step(JUDGE, folder)
    answer = np.load(folder / "out" / "champion.npy")[0]
    given = row.get("probabilities") if manifest.levels else row["prediction"]
    return Output(name=f"prediction {row['id']}", recorded=repr(given), made=repr(answer.tolist()))


def _asked(home: Home, manifest: Manifest, row: dict[str, Any]) -> pl.DataFrame:
    """The row as the endpoint saw it, with what was joined to it."""
    values = {
        name: pl.Series(name, [row.get(input_column(name))], dtype=DTYPES[column.type])
        for name, column in manifest.inputs.items()
    }
    inputs = pl.DataFrame(list(values.values()))
    joined = [
        pl.Series(
            f"{SIDE}{side.name}",
            [row[side_column(side.name)]],
            dtype=pl.Struct({name: DTYPES[column.type] for name, column in side.columns.items()}),
        )
        for side in manifest.sides
        if row.get(side_column(side.name)) is not None
    ]
    if len(joined) < len(manifest.sides):  # logged by an early version
        joined = _known(home, manifest, inputs)
    return inputs.with_columns(*joined, pl.lit(0.0).alias(PREDICTION), pl.lit(0.0).alias(TRUTH))


def _known(home: Home, manifest: Manifest, inputs: pl.DataFrame) -> list[pl.Series]:
    online = OnlineRows(manifest.sides, manifest.event_time)
    with Records(home.folder / "serving" / "records.db") as records:
        for side in manifest.sides:
            online.replace(side.name, records.rows_of(side.name))
    return [side.to_struct(f"{SIDE}{name}") for name, side in online.aligned(inputs).items()]
