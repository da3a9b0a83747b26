"""The formats of model files: a fitted model's follows from its class, a file's from its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from keepfit.core.errors import PackageError, UserCodeError
from keepfit.models import chain, lightgbm, pickled, skops, xgboost


class Format(Protocol):
    """What a module of a format gives."""

    def takes(self, model: object, /) -> bool:
        """Whether a model of this class is written in this format. Imports nothing."""
        ...

    def dump(self, model: object, trust: Sequence[str], /) -> bytes:
        """The model as bytes, the same for equal models in every process; UserCodeError when it cannot be written."""
        ...

    def load(self, content: bytes, trust: Sequence[str], /) -> Any:
        """What was dumped, with `predict` and, for a classifier, `predict_proba`; PackageError for other bytes."""
        ...


FORMATS: dict[str, Format] = {
    "model.chain.zip": chain,
    "model.lightgbm.txt": lightgbm,
    "model.xgboost.ubj": xgboost,
    "model.skops": skops,
}
"""File name -> format; the first that takes a model writes it. None of them runs code on load."""

PICKLE = "model.pickle"
"""The exception, by the project's own wish only: loading it runs what is in it."""


def dump(model: object, trust: Sequence[str], *, pickle: bool = False) -> tuple[str, bytes]:
    """Name and bytes of the model's file.

    With `pickle`, a model that no format takes is pickled. Raises UserCodeError when it cannot be written.
    """
    name, form = next((n, f) for n, f in FORMATS.items() if f.takes(model))
    try:
        return name, form.dump(model, trust)
    except UserCodeError:
        if not pickle:
            raise
        return PICKLE, pickled.dump(model)


def load(name: str, content: bytes, trust: Sequence[str]) -> Any:
    """The model in a file of this name; PackageError when it is not what its name says."""
    if name == PICKLE:
        return pickled.load(content)
    if name not in FORMATS:
        raise PackageError(f"`{name}` is not a model format this version of keepfit knows")
    return FORMATS[name].load(content, trust)


def model_file(names: Iterable[str]) -> str:
    """Which of these file names is the model's; PackageError when none is."""
    for name in names:
        if name in FORMATS or name == PICKLE:
            return name
    raise PackageError("there is no model among the files", hint="keepfit train")
