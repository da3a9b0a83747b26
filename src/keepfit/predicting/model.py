"""A packaged model in this process."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from keepfit.core.errors import StoreError, UserCodeError
from keepfit.datasets.dataset import Column
from keepfit.models.metrics import Array
from keepfit.models.task import Task
from keepfit.packages.load import load
from keepfit.packages.package import Manifest
from keepfit.predicting.given import read_given
from keepfit.serving.online import OnlineRows
from keepfit.serving.records import Records
from keepfit.serving.signature import Signature
from keepfit.serving.tables import table

_TURN = threading.RLock()
"""One model at a time: neither the user's functions nor warning filters and modules are made for several threads."""
_logger = logging.getLogger("keepfit")


class Predictions(NamedTuple):
    """The answers to n rows, in their order, each the bits that the endpoint gives."""

    predictions: Array
    """(n,): a value; for a truth value the probability that it is true; for levels the likeliest level."""
    probabilities: Array | None
    """Of classifiers. For a truth value, (n,), `predictions` itself; for k levels, (n, k) in the order of `levels`."""
    levels: list[str] | None
    """What the columns of (n, k) stand for."""


class Model:
    """A verified package, loaded. Safe to share between threads, whose calls are taken one after the other.

    Nothing is logged: labels, monitoring and `keepfit why` know only what the endpoint and batches answered.
    """

    def __init__(self, folder: Path, manifest: Manifest, records: Records) -> None:
        """Loads, and repeats the golden rows bit for bit; PackageError when it cannot."""
        self.name: str = manifest.model
        self.version: int = manifest.version
        self.task: Task = manifest.task
        self.inputs: dict[str, Column] = manifest.inputs
        self._manifest = manifest
        self._signature = Signature(manifest.inputs)
        self._types = {name: column.type for name, column in manifest.inputs.items()}
        self._records = records
        self._online = OnlineRows(manifest.sides, manifest.event_time)
        self._modules = _Modules(folder / "code")
        with _TURN, self._modules.seen():
            self._scorer = load(folder)
            self._scorer.self_test()

    def __repr__(self) -> str:
        return f"<keepfit.Model {self.name}@{self.version}>"

    def predict(self, rows: Any) -> Predictions:
        """The answers to the rows of a polars, pandas or Arrow table, a dict of columns or a list of dicts.

        Raises ContractBroken for rows that the endpoint would not take, UserCodeError when the model
        raises or gives no finite number for a row.
        """
        good = read_given(rows, self._signature)
        frame = table(self._types, msgspec.msgpack.decode(self._signature.pack_blocks([good])))
        with _TURN, self._modules.seen():
            return self.answers(self._scorer.predict(frame, self._joined(frame)))

    def predict_joined(self, rows: pl.DataFrame, sides: Mapping[str, pl.DataFrame]) -> Array:
        """The bare answers to rows that are known to be good, with what is joined to them."""
        with _TURN, self._modules.seen():
            return self._scorer.predict(rows, sides)

    def answers(self, found: Array) -> Predictions:
        """What the model gave, as it is told; UserCodeError for a row without a finite number."""
        wrong = np.flatnonzero(~np.isfinite(found).reshape(len(found), -1).all(axis=1))
        if len(wrong):
            raise UserCodeError(f"the model gave no finite number for {len(wrong):,} rows", where=f"row {wrong[0]}")
        levels = self._manifest.levels
        if levels is None:
            return Predictions(found, found if self.task == "binary" else None, None)
        return Predictions(np.array(levels)[found.argmax(axis=1)], found, levels)

    def _joined(self, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        if self._manifest.sides:
            try:
                if self._records.changed_elsewhere():
                    self._online.take(self._records)
            except StoreError as problem:  # what is known already is better than no answer
                _logger.warning("online rows cannot be read: %s", problem.message)
        return self._online.aligned(rows)


class _Modules:
    """The modules of a package's code, which nobody else in this process gets to see."""

    def __init__(self, code: Path) -> None:
        self._code = str(code)
        self._names = {path.stem for path in code.iterdir()} if code.is_dir() else set()
        self._own: dict[str, ModuleType] = {}

    @contextlib.contextmanager
    def seen(self) -> Iterator[None]:
        """Have them in place of modules of the same names for the block."""
        if not self._names:
            yield
            return
        others = self._taken_out()
        sys.modules.update(self._own)
        sys.path.insert(0, self._code)
        try:
            yield
        finally:
            self._own = self._taken_out()
            sys.modules.update(others)
            with contextlib.suppress(ValueError):
                sys.path.remove(self._code)

    def _taken_out(self) -> dict[str, ModuleType]:
        found = [name for name in list(sys.modules) if name.partition(".")[0] in self._names]
        return {name: sys.modules.pop(name) for name in found}
