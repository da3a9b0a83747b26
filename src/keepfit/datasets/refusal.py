"""A disk that refuses what polars writes."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

import polars as pl

_REFUSED = re.compile(r"\(os error (\d+)\)")


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """For the block, what the system refuses to polars is an OSError, as it is to everyone else."""
    try:
        yield
    except pl.exceptions.PolarsError as problem:
        if found := _REFUSED.search(str(problem)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from problem
        raise
