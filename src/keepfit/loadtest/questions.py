"""What is asked in a load test, and the answers that must come: a package's golden rows, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from keepfit.core.errors import NotFound
from keepfit.models.train import PREDICTION
from keepfit.packages.package import Manifest
from keepfit.packages.unpack import read_manifest


class _Prediction(msgspec.Struct, gc=False):
    prediction: Any
    probabilities: dict[str, float] | None = None


class _Answer(msgspec.Struct, gc=False):
    version: int
    predictions: list[_Prediction]


_decode = msgspec.json.Decoder(_Answer).decode


class Questions:
    """Bodies for /predict, and what each version must answer to each of them.

    Where no promise is known of a version, its first answer is held against all later ones.
    """

    def __init__(self, bodies: Sequence[bytes], promised: Mapping[int, Sequence[Any]], *, only: bool = False) -> None:
        """`promised`: version -> the values for each body; with `only`, any other version's answer is wrong."""
        self.bodies = bodies
        self._only = only
        self._promised = {(version, i): list(v) for version, values in promised.items() for i, v in enumerate(values)}

    def judge(self, question: int, body: bytes) -> tuple[str, str]:
        """The version that answered, and what is wrong with the answer (empty when nothing is)."""
        try:
            answer = _decode(body)
        except msgspec.MsgspecError as problem:
            return "?", f"this is not an answer: {problem}: {body[:200].decode(errors='replace')}"
        got = [p.prediction if p.probabilities is None else p.probabilities for p in answer.predictions]
        by = (answer.version, question)
        if self._only and by not in self._promised:
            return str(answer.version), f"version {answer.version} should not have answered"
        expected = self._promised.setdefault(by, got)
        if got == expected:
            return str(answer.version), ""
        return str(answer.version), f"question {question}, version {answer.version}: expected {expected}, got {got}"


def questions_of(folder: Path, version: int, *, rows: int = 1, promise: bool = True) -> Questions:
    """The golden rows of an unpacked package, so many in one request; NotFound when none of them can be asked.

    `promise`: hold answers against those that the package was tested with, which follow from what was joined then.
    """
    manifest, golden = read_manifest(folder), pl.read_parquet(folder / "golden.parquet", glob=False)
    asked = golden.select(list(manifest.inputs)).to_dicts()
    values = _promises(manifest, golden[PREDICTION].to_list())
    pairs = [(row, value) for row, value in zip(asked, values, strict=True) if all(map(_sendable, row.values()))]
    if not pairs:
        raise NotFound("none of the package's golden rows can be sent as JSON", where=str(folder))
    groups = [[pairs[(i + k) % len(pairs)] for k in range(rows)] for i in range(len(pairs))]
    bodies = [msgspec.json.encode({"rows": [row for row, _ in group]}) for group in groups]
    return Questions(bodies, {version: [[value for _, value in group] for group in groups]} if promise else {})


def _promises(manifest: Manifest, values: list[Any]) -> list[Any]:
    if manifest.levels is None:
        return values
    return [dict(zip(manifest.levels, value, strict=True)) for value in values]


def _sendable(value: object) -> bool:
    """JSON has no word for NaN and infinity."""
    return not isinstance(value, float) or math.isfinite(value)
