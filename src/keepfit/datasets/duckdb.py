"""Asking a DuckDB database, which is opened read-only."""

from __future__ import annotations

import re
from pathlib import Path

from keepfit.core.errors import UsageError
from keepfit.datasets.answer import ROWS, Answer, QueryFailed, batches


def ask(path: Path, query: str) -> Answer:
    """The rows of the query; QueryFailed with DuckDB's words, UsageError when it is not installed."""
    try:
        import duckdb
    except ImportError:
        raise UsageError("DuckDB is not installed", hint="pip install 'keepfit[duckdb]'") from None
    if not path.is_file():
        raise QueryFailed(f"there is no database `{path}`")
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            found = connection.execute(query)
            if found.description is None:
                raise QueryFailed("it gives no rows: write a SELECT")
            yield from batches([d[0] for d in found.description], lambda: found.fetchmany(ROWS))
    except duckdb.Error as problem:
        line = re.search(r"^LINE (\d+):", str(problem), re.MULTILINE)
        raise QueryFailed(str(problem).partition("\n")[0], int(line[1]) if line else None) from problem
