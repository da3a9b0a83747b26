"""Calling the user's functions: arguments by name, tables in the form they ask for."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars import selectors

from keepfit.core.digests import digest_value
from keepfit.core.errors import UserCodeError

Function = Callable[..., Any]


def load_function(code: Path, reference: str) -> Function:
    """The function `module:name` of the code below `code`. Runs the module: only for a process of its own.

    Raises UserCodeError when the module raises.
    """
    _forget_other_code(code)
    if str(code) not in sys.path:
        sys.path.insert(0, str(code))
    module, name = reference.split(":")
    with blame(reference, code):
        function: Function = getattr(importlib.import_module(module), name)
        return function


_folders: set[str] = set()


def _forget_other_code(code: Path) -> None:
    """Two models may both call their module `flights`: whoever is loaded now must not get the other's."""
    for folder in _folders - {str(code)}:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(folder + os.sep):
                del sys.modules[name]
        importlib.invalidate_caches()
    _folders.clear()
    _folders.add(str(code))


def build_features(function: Function | None, main: str, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row of features per row of the main table.

    `tables` holds, by dataset name, the main dataset's inputs and the aligned rows of every
    side dataset. Without a function the inputs themselves, apart from times, are the features. Raises
    UserCodeError when the function raises, or gives back something else than a table of that height.
    """
    height = tables[main].height
    if function is None:
        table = tables[main]
        return table.select(~selectors.temporal()) if any(t.is_temporal() for t in table.dtypes) else table
    wanted = {n: frame_for(p, tables[n]) for n, p in inspect.signature(function).parameters.items() if n in tables}
    with owing_to(function), blame(function.__name__, Path(inspect.getfile(function)).parent):
        features = function(**wanted)
        if isinstance(features, pl.LazyFrame):
            features = features.collect()
    if type(features).__module__.startswith("pandas"):
        features = pl.from_pandas(features)
    if not isinstance(features, pl.DataFrame):
        raise UserCodeError(
            f"`{function.__name__}` gave back a {type(features).__name__}, not a table", where=place_of(function)
        )
    if features.height != height:
        raise UserCodeError(
            f"`{function.__name__}` gave back {features.height:,} rows for {height:,}",
            where=place_of(function),
            hint="give exactly one row of features per row of the main table: no filter, no join that repeats rows",
        )
    return features


def place_of(function: Function | None) -> str | None:
    """Where a function of the user's is written, as file:line."""
    written = inspect.unwrap(function) if function else None
    code = getattr(written, "__code__", None)
    if code is None:
        return None
    file = Path(code.co_filename)
    root = next((folder for folder in _folders if file.is_relative_to(folder)), file.parent)
    return f"{file.relative_to(root)}:{code.co_firstlineno}"


@contextlib.contextmanager
def owing_to(function: Function) -> Iterator[None]:
    """Errors in what a function of the user's has made point at it, unless they know a better place."""
    try:
        yield
    except UserCodeError as problem:
        problem.where = problem.where or place_of(function)
        raise


def schema_of(features: pl.DataFrame) -> dict[str, str]:
    """Names and types of the features, in order."""
    return {name: str(dtype) for name, dtype in features.schema.items()}


def feature_hash(schema: Mapping[str, str]) -> str:
    """Identity of a feature set; models refuse features of another hash."""
    return digest_value(list(schema.items()))


def wants_pandas(parameter: inspect.Parameter | None) -> bool:
    """Whether a parameter is annotated as a pandas table or column."""
    note = parameter.annotation if parameter else ""
    text = note if isinstance(note, str) else f"{getattr(note, '__module__', '')}.{getattr(note, '__name__', '')}"
    return text.startswith(("pd.", "pandas."))


def frame_for(parameter: inspect.Parameter | None, frame: pl.DataFrame) -> Any:
    """The table as the parameter asks for it: polars unless annotated as pandas."""
    return frame.to_pandas() if wants_pandas(parameter) else frame


@contextlib.contextmanager
def blame(what: str, code: Path) -> Iterator[None]:
    """Turns what the user's code raises inside the block into a UserCodeError that points at their line."""
    try:
        yield
    except UserCodeError:
        raise
    except Exception as problem:
        root = code.resolve()
        frames = [f for f in traceback.extract_tb(problem.__traceback__) if Path(f.filename).is_relative_to(root)]
        where = f"{Path(frames[-1].filename).relative_to(root)}:{frames[-1].lineno}" if frames else None
        line = f" in `{frames[-1].line}`" if frames and frames[-1].line else ""
        raise UserCodeError(f"`{what}` raised {type(problem).__name__}: {problem}{line}", where=where) from problem
