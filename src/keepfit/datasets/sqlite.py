"""Asking an SQLite database, which is opened read-only."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from keepfit.datasets.answer import ROWS, Answer, QueryFailed, batches


def ask(path: Path, query: str) -> Answer:
    """The rows of the query; QueryFailed with SQLite's words."""
    if not path.is_file():
        raise QueryFailed(f"there is no database `{path}`")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            found = connection.execute(query)
            if found.description is None:
                raise QueryFailed("it gives no rows: write a SELECT")
            yield from batches([d[0] for d in found.description], lambda: found.fetchmany(ROWS))
    except (sqlite3.Error, sqlite3.Warning) as problem:
        raise QueryFailed(str(problem)) from problem
