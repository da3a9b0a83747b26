"""A Pipeline that ends in a LightGBM or XGBoost model: the steps before it by skops, the end in its own format.

One archive of two members, stored: `before.skops` and the end's file.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

from keepfit.core.errors import PackageError
from keepfit.models import lightgbm, skops, xgboost

_ENDS = {"end.lightgbm.txt": lightgbm, "end.xgboost.ubj": xgboost}
_BEFORE = "before.skops"
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Chain:
    """Preprocessing and the model behind it, as the Pipeline would answer."""

    def __init__(self, before: Any, end: Any) -> None:
        self._before = before
        self._end = end

    def predict(self, X: Any) -> Any:
        return self._end.predict(self._before.transform(X))

    def predict_proba(self, X: Any) -> Any:
        return self._end.predict_proba(self._before.transform(X))


def takes(model: object) -> bool:
    """Whether it is a Pipeline of several steps with such an end."""
    steps: Any = getattr(model, "steps", ())
    pipeline = any(c.__module__ == "sklearn.pipeline" and c.__name__ == "Pipeline" for c in type(model).__mro__)
    return pipeline and len(steps) > 1 and any(f.takes(steps[-1][1]) for f in _ENDS.values())


def dump(model: Any, trust: Sequence[str]) -> bytes:
    """The archive; raises as the formats of its parts do."""
    end = model.steps[-1][1]
    name, form = next((n, f) for n, f in _ENDS.items() if f.takes(end))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_BEFORE, _EPOCH), skops.dump(model[:-1], trust))
        archive.writestr(zipfile.ZipInfo(name, _EPOCH), form.dump(end, trust))
    return out.getvalue()


def load(content: bytes, trust: Sequence[str]) -> Chain:
    """The chain; PackageError when the bytes are something else."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as problem:
        raise PackageError("the model's archive is damaged") from problem
    name = next((n for n in _ENDS if n in members), None)
    if name is None or _BEFORE not in members:
        raise PackageError("the model's archive does not hold a pipeline and its end")
    return Chain(skops.load(members[_BEFORE], trust), _ENDS[name].load(members[name], trust))
