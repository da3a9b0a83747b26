"""keepfit keeps models fit: the whole MLOps loop in one package, with a model always in production."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keepfit.core.errors import KeepfitError as KeepfitError
    from keepfit.predicting.load import load as load
    from keepfit.predicting.model import Model as Model
    from keepfit.predicting.model import Predictions as Predictions

_HOMES = {
    "KeepfitError": "core.errors",
    "Model": "predicting.model",
    "Predictions": "predicting.model",
    "load": "predicting.load",
}

__all__ = ["KeepfitError", "Model", "Predictions", "load"]


def __getattr__(name: str) -> object:
    """The public names, each imported at its first use: importing keepfit costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module `keepfit` has no attribute `{name}`")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"keepfit.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
