"""LightGBM models as its own text: no code on load, equal models give equal files.

The number of threads, which LightGBM writes among the parameters, is the same in every file.
LightGBM 4 predicts the same bits with any number of threads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from keepfit.core.errors import PackageError, UserCodeError

_MACHINE = re.compile(r"^\[(num_threads|machines|machine_list_filename|local_listen_port): .*\]$", re.M)
"""Parameters that say where a model was made, not what it is."""
_SIGMOID = re.compile(r"^objective=(binary|cross_entropy)\b", re.M)
_CLASSES = re.compile(r"^objective=(multiclass|multiclassova)\b", re.M)


class Trees:
    """A LightGBM model as it is asked: what its own estimators answer, from the text alone."""

    def __init__(self, text: str) -> None:
        try:
            self._booster = _lightgbm().Booster(model_str=text)
        except Exception as problem:
            raise PackageError(f"the model is not LightGBM's text: {problem}") from problem
        self._text = text

    def predict(self, X: Any) -> Any:
        return self._booster.predict(_numbers(X))

    def predict_proba(self, X: Any) -> Any:
        if _CLASSES.search(self._text):
            return self.predict(X)
        if not _SIGMOID.search(self._text):
            raise UserCodeError(
                "the LightGBM model has no objective that gives probabilities",
                hint='train it with objective "binary" or "multiclass"',
            )
        import numpy as np

        positive = self.predict(X)
        return np.column_stack([1.0 - positive, positive])


def takes(model: object) -> bool:
    """Whether it is a Booster or one of LightGBM's estimators."""
    return any(c.__module__.partition(".")[0] == "lightgbm" for c in type(model).__mro__)


def dump(model: object, trust: Sequence[str]) -> bytes:
    """The text of the model up to its best iteration; UserCodeError when it was not fitted."""
    try:
        booster: Any = getattr(model, "booster_", model)
        text = booster.model_to_string(importance_type="split")
    except Exception as problem:
        raise UserCodeError(f"the {type(model).__name__} cannot be saved: {problem}") from problem
    return str(_MACHINE.sub(r"[\1: ]", text)).encode()


def load(content: bytes, trust: Sequence[str]) -> Trees:
    """The model; PackageError when the bytes are something else."""
    try:
        return Trees(content.decode())
    except UnicodeDecodeError as problem:
        raise PackageError("the model is not LightGBM's text") from problem


def _numbers(X: Any) -> Any:
    """polars as numpy; pandas stays as it is, for its categories mean something to LightGBM."""
    return X.to_numpy() if type(X).__module__.startswith("polars.") else X


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as problem:
        raise UserCodeError("LightGBM models need lightgbm", hint="pip install 'keepfit[lightgbm]'") from problem
    return lightgbm
