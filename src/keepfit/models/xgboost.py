"""XGBoost models as its own UBJSON: no code on load, equal models give equal files, threads are not in them.

Trees come out the same with any number of threads; the weights of `gblinear` only with one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keepfit.core.errors import PackageError, UserCodeError


class Trees:
    """An XGBoost model as it is asked: what its own estimators answer, from the file alone."""

    def __init__(self, content: bytes) -> None:
        try:
            self._booster = _xgboost().Booster(model_file=bytearray(content))
            objective = self._booster.save_config()
        except Exception as problem:
            raise PackageError(f"the model is not XGBoost's: {_first_line(problem)}") from problem
        self._objective = _objective(objective)

    def predict(self, X: Any) -> Any:
        return self._booster.predict(self._matrix(X))

    def predict_proba(self, X: Any) -> Any:
        if self._objective == "multi:softprob":
            return self.predict(X)
        if self._objective not in ("binary:logistic", "reg:logistic"):
            raise UserCodeError(
                f"the XGBoost objective `{self._objective}` gives no probabilities",
                hint='train it with objective "binary:logistic" or "multi:softprob"',
            )
        import numpy as np

        positive = self.predict(X)
        return np.column_stack([1.0 - positive, positive])

    def _matrix(self, X: Any) -> Any:
        """As it was in training: by name if names were known then."""
        names = self._booster.feature_names
        if names is None:
            return _xgboost().DMatrix(X.to_numpy() if hasattr(X, "columns") else X)
        if not hasattr(X, "columns"):
            return _xgboost().DMatrix(X, feature_names=names)
        return _xgboost().DMatrix(X, enable_categorical=True)


def takes(model: object) -> bool:
    """Whether it is a Booster or one of XGBoost's estimators."""
    return any(c.__module__.partition(".")[0] == "xgboost" for c in type(model).__mro__)


def dump(model: Any, trust: Sequence[str]) -> bytes:
    """The model in UBJSON; UserCodeError when it was not fitted, or has a mark of its own for missing values.

    Of an estimator that stopped early, the trees up to the best: those it predicts with.
    """
    missing = getattr(model, "missing", math.nan)
    if missing is not None and not math.isnan(missing):
        raise UserCodeError(
            f"the {type(model).__name__} takes {missing!r} for a missing value, which its file cannot say",
            hint="replace it by NaN or null in your features function",
        )
    try:
        booster = model.get_booster() if hasattr(model, "get_booster") else model
        best = booster.attr("best_iteration")
        if booster is not model and best is not None and '"gblinear"' not in booster.save_config():
            booster = booster[: int(best) + 1]
        return bytes(booster.save_raw("ubj"))
    except Exception as problem:
        raise UserCodeError(
            f"the {type(model).__name__} cannot be saved: {_first_line(problem)}", hint="return the fitted model"
        ) from problem


def load(content: bytes, trust: Sequence[str]) -> Trees:
    """The model; PackageError when the bytes are something else."""
    return Trees(content)


def _objective(config: str) -> str:
    import json

    return str(json.loads(config)["learner"]["objective"]["name"])


def _first_line(problem: Exception) -> str:
    """XGBoost's messages carry a stack trace of its own."""
    lines = [line for line in str(problem).splitlines() if line.strip()]
    return lines[0] if lines else type(problem).__name__


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError as problem:
        raise UserCodeError("XGBoost models need xgboost", hint="pip install 'keepfit[xgboost]'") from problem
    return xgboost
