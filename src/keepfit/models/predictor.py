"""A fitted model with the user's features in front of it: the same path in training, checks and serving."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from keepfit.core.errors import UserCodeError
from keepfit.features.build import Function, build_features, feature_hash, place_of, schema_of
from keepfit.models.metrics import Array
from keepfit.models.task import Task


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Rows in, predictions out."""

    model: Any
    task: Task
    main: str
    """Name of the main dataset."""
    features: Function | None
    feature_hash: str | None
    """What the features must look like; None before training."""
    pandas: bool
    """Whether the model was fitted on pandas."""

    def predict(self, rows: pl.DataFrame, sides: Mapping[str, pl.DataFrame]) -> Array:
        """Probability of the positive class, (n,); probabilities of all levels, (n, k); or values, (n,).

        `rows` are the main dataset's inputs, `sides` the aligned rows of the side datasets.
        Raises UserCodeError when the user's code raises, or gives other features than in training.
        """
        features = build_features(self.features, self.main, {**sides, self.main: rows})
        if self.feature_hash is not None and feature_hash(schema_of(features)) != self.feature_hash:
            told = "the features differ in name, order or type from those the model was trained on"
            raise UserCodeError(told, where=place_of(self.features))
        X = features.to_pandas() if self.pandas else features
        return predict(self.model, X, self.task)


LANES = 8
"""Models are asked in multiples of so many rows: BLAS works on the last few rows of a matrix in another order than on
the rest, so that a row's last bits would depend on which rows it is asked with."""


def predict(model: Any, X: Any, task: Task) -> Array:
    """The model's predictions for prepared features, as in Predictor.predict."""
    whole = _whole_lanes(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _answers(model, whole, task)
    if len(found) != len(whole):
        raise UserCodeError(f"`{type(model).__name__}` gave {len(found):,} predictions for {len(whole):,} rows")
    return found[: len(X)]


def _whole_lanes(X: Any) -> Any:
    """The rows, and the last one again and again up to a multiple of LANES."""
    rows = len(X)
    if rows % LANES == 0:
        return X
    index = np.minimum(np.arange(rows + -rows % LANES), rows - 1)
    return X[index] if isinstance(X, pl.DataFrame) else X.iloc[index]


def _answers(model: Any, X: Any, task: Task) -> Array:
    if task == "regression":
        return np.asarray(model.predict(X), dtype=np.float64).reshape(-1)
    if not hasattr(model, "predict_proba"):
        raise UserCodeError(
            f"`{type(model).__name__}` has no predict_proba",
            hint="give back a classifier that gives probabilities, or wrap it in CalibratedClassifierCV",
        )
    probabilities = np.asarray(model.predict_proba(X), dtype=np.float64)
    return np.ascontiguousarray(probabilities[:, 1]) if task == "binary" else probabilities


def bind(function: Function, provided: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, out of those provided, that the function has parameters for."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in provided.items() if name in names}
