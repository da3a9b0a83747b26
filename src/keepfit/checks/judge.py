"""The judging step, run in a process of its own: the champion's answers on the tested rows, and the user's checks."""

from __future__ import annotations

import inspect
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from polars import selectors

from keepfit.core.errors import UserCodeError
from keepfit.features.build import blame, frame_for, load_function
from keepfit.models.train import PREDICTION, SIDE, TRUTH
from keepfit.packages.load import load
from keepfit.runs.child import run_step


class JudgeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the judging step is told."""

    test: str
    """Object digest of the tested rows (laid out as `test.parquet`)."""
    champion: str | None
    """Object digest of the champion's package (laid out below `champion/`)."""
    also: list[str]


def judge(folder: Path) -> None:
    """Leave `champion.npy` and `also.json` (reference -> passed) in `out/`."""
    spec = msgspec.json.decode((folder / "spec.json").read_bytes(), type=JudgeSpec)
    rows = pl.read_parquet(folder / "test.parquet", glob=False)
    if spec.champion:
        np.save(folder / "out" / "champion.npy", load(folder / "champion").score(rows))
    tested = rows.select(~selectors.starts_with(SIDE, TRUTH)).rename({PREDICTION: "prediction"})
    told = {reference: _passes(reference, tested, folder / "code") for reference in spec.also}
    (folder / "out" / "also.json").write_bytes(msgspec.json.encode(told))


def _passes(reference: str, tested: pl.DataFrame, code: Path) -> bool:
    function = load_function(code, reference)
    parameter = next(iter(inspect.signature(function).parameters.values()), None)
    with blame(reference, code):
        answer = function(frame_for(parameter, tested))
    if not isinstance(answer, bool | np.bool_):
        raise UserCodeError(f"`{reference}` gave back a {type(answer).__name__}, not True or False")
    return bool(answer)


if __name__ == "__main__":
    run_step(judge)
