"""The rows of one part, answered: by the model where they are good, with a reason where they are not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from keepfit.core.errors import ContractBroken, UserCodeError
from keepfit.datasets.read import places_in
from keepfit.features.join import align
from keepfit.models.metrics import Array
from keepfit.predicting.model import Model
from keepfit.predicting.packaged import Packaged
from keepfit.predicting.parts import Part
from keepfit.predicting.sieve import Sieve
from keepfit.serving.log import OWN, input_column, plausible, side_column
from keepfit.serving.problems import ROW_PROBLEMS, Problem
from keepfit.serving.records import Records
from keepfit.serving.scorer import score

SECONDS = 60.0
"""After which rows of a part that make the model raise are no longer told apart."""


NO_REASONS = pl.DataFrame(schema={"row": pl.Int64, "feature": pl.String, "reason": pl.String})


class Answers(NamedTuple):
    """What became of the rows of a part."""

    rows: pl.DataFrame
    """Of the good ones, in order: `id`, `prediction`, for levels `probabilities`; if it is logged, all of the log."""
    refused: pl.DataFrame
    """Of the others: `row`, `feature` and `reason`."""


class Answerer:
    """Answers parts with one package; ids follow from the rows' numbers, so that a part has the same whenever asked."""

    def __init__(
        self, found: Packaged, sides: Mapping[str, pl.DataFrame], *, began: int, key: str, strict: bool, logged: bool
    ) -> None:
        """`strict`: a row that is not good is an error."""
        self._found, self._manifest, self._sides = found, found.manifest, sides
        self._began, self._suffix = began, key[:8]
        self._strict, self._logged = strict, logged
        self._sieve = Sieve(found.manifest.inputs)
        self._model: Model | None = None

    def answer(self, raw: pl.DataFrame, typed: pl.DataFrame, part: Part) -> Answers:
        """Raises ContractBroken or UserCodeError for the first row that has no answer, if that is an error."""
        bad = self._sieve.refused(raw, typed)
        if bad and self._strict:
            raise _broken(bad, part)
        at = others(bad, raw.height)
        good = typed[at] if bad else typed
        joined = self._joined(good)
        values, failed = self._predict(good, joined, part)
        if failed:
            bad |= {int(at[row]): problem for row, problem in failed.items()}
            kept = others(failed, good.height)
            values, at, good = values[kept], at[kept], good[kept]
            joined = {name: rows[kept] for name, rows in joined.items()}
        first = (self._began << 16) + part.first
        ids = [f"p-{first + row:016x}{self._suffix}" for row in at.tolist()]
        rows = pl.DataFrame({"id": ids}, schema={"id": pl.String})
        if self._logged:
            rows = rows.hstack(self._told_of(good))
            rows = rows.hstack([side.to_struct(side_column(name)) for name, side in joined.items()])
        return Answers(rows.hstack(self._columns(values)), _reasons(bad))

    def _predict(
        self, rows: pl.DataFrame, joined: Mapping[str, pl.DataFrame], part: Part
    ) -> tuple[Array, dict[int, Problem]]:
        """The model's answers, and which of these rows it has none for."""
        levels = self._manifest.levels
        shape = (0,) if levels is None else (0, len(levels))
        if not rows.height:
            return np.empty(shape), {}
        try:
            found = self._asked(rows, joined)
            finite = np.isfinite(found).reshape(len(found), -1).all(axis=1)
            if finite.all():
                return found, {}
            row = int(np.flatnonzero(~finite)[0])
            raise UserCodeError("the model gave no finite number", where=_place(part, row))
        except UserCodeError:
            if self._strict:
                raise
        values, failed = score(lambda some: self._asked(some, self._joined(some)), rows, SECONDS)
        nothing: Any = 0.0 if levels is None else [0.0] * len(levels)
        known = {row: ROW_PROBLEMS[number] for row, number in failed.items()}
        return np.array([nothing if v is None else v for v in values]), known

    def _joined(self, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        time = self._manifest.event_time
        return {s.name: align(rows, time, s, self._sides[s.name]) for s in self._manifest.sides}

    def _asked(self, rows: pl.DataFrame, joined: Mapping[str, pl.DataFrame]) -> Array:
        if self._model is None:
            self._model = Model(self._found.folder, self._manifest, Records(self._found.folder / "none"))
        return self._model.predict_joined(rows, joined)

    def _columns(self, values: Array) -> pl.DataFrame:
        levels = self._manifest.levels
        if levels is None:
            return pl.DataFrame({"prediction": pl.Series(values, dtype=pl.Float64)})
        best = pl.Series("prediction", [levels[i] for i in values.argmax(axis=1)], dtype=pl.String)
        return pl.DataFrame([best, pl.Series("probabilities", values.tolist(), dtype=pl.List(pl.Float64))])

    def _told_of(self, inputs: pl.DataFrame) -> pl.DataFrame:
        """The log's own columns, and the inputs as it calls them."""
        release, event = self._found.release, self._manifest.event_time
        assert release is not None
        when = datetime.fromtimestamp(self._began / 1000, UTC).replace(tzinfo=None)
        named = inputs.rename({name: input_column(name) for name in inputs.columns})
        return named.select(
            pl.lit(when, OWN["time"]).alias("time"),
            (pl.col(input_column(event)) if event else pl.lit(when, OWN["time"])).alias("event_time"),
            pl.lit(self._manifest.model).alias("model"),
            pl.lit(release.version, pl.Int64).alias("version"),
            pl.lit(release.id).alias("release"),
            pl.lit("batch").alias("route"),
            *named.columns,
        ).with_columns(event_time=plausible("event_time"))


def others(rows: Collection[int], height: int) -> Any:
    """The numbers of all rows but these."""
    kept = np.ones(height, bool)
    kept[list(rows)] = False
    return np.flatnonzero(kept)


def _reasons(bad: Mapping[int, Problem]) -> pl.DataFrame:
    told = [(row, bad[row].feature, _reason(bad[row])) for row in sorted(bad)]
    return pl.DataFrame(told, schema=NO_REASONS.schema, orient="row")


def _reason(problem: Problem) -> str:
    expected = f": expected {problem.expected}, received {problem.received}" if problem.expected else ""
    return f"{problem.message}{expected}" + (f" ({problem.hint})" if problem.hint else "")


def _broken(bad: Mapping[int, Problem], part: Part) -> ContractBroken:
    row = min(bad)
    more = f" (and {len(bad) - 1:,} of the {part.rows:,} rows from there on)" if len(bad) > 1 else ""
    return ContractBroken(
        f"{_reason(bad[row])}{more}",
        where=_place(part, row) + (f", column {bad[row].feature}" if bad[row].feature else ""),
        hint="mend the file, or go on without such rows: --bad skip (or null) tells of them in a file beside",
    )


def _place(part: Part, row: int) -> str:
    number = part.start + row
    return f"{part.file.path}, {places_in(part.file.path, [number])[number]}"
