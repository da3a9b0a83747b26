"""Models as pickles: loading one runs whatever is in it, and equal models need not give equal files.

Only where the project says `pickle = true`, and only from packages signed with its own key.
"""

from __future__ import annotations

import pickle
from typing import Any

from keepfit.core.errors import PackageError, UserCodeError


def dump(model: object) -> bytes:
    """The model as bytes; UserCodeError when it cannot be pickled."""
    try:
        return pickle.dumps(model, protocol=5)
    except Exception as problem:
        raise UserCodeError(f"the {type(model).__name__} cannot be pickled: {problem}") from problem


def load(content: bytes) -> Any:
    """The model. Runs its code: only for bytes whose signature was checked."""
    try:
        return pickle.loads(content)
    except Exception as problem:
        raise PackageError(f"the model cannot be unpickled: {problem}") from problem
