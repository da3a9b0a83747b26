"""Asking a PostgreSQL database, in a transaction that cannot write."""

from __future__ import annotations

from keepfit.core.errors import UsageError
from keepfit.datasets.answer import ROWS, Answer, QueryFailed, batches

_DECLARE = "DECLARE keepfit NO SCROLL CURSOR FOR "
_PATIENCE = 10
"""Seconds to wait for a connection."""


def ask(address: str, query: str) -> Answer:
    """The rows of the query; QueryFailed with PostgreSQL's words, UsageError when psycopg is not installed."""
    try:
        import psycopg
    except ImportError:
        raise UsageError("psycopg is not installed", hint="pip install 'keepfit[postgres]'") from None
    try:
        with psycopg.connect(address, connect_timeout=_PATIENCE) as connection:
            connection.read_only = True
            connection.execute(_DECLARE + query)
            found = connection.execute("FETCH 0 FROM keepfit")
            names = [column.name for column in found.description or ()]
            yield from batches(names, lambda: connection.execute(f"FETCH {ROWS} FROM keepfit").fetchall())
    except psycopg.Error as problem:
        message = problem.diag.message_primary or str(problem).strip().partition("\n")[0]
        raise QueryFailed(message, _line(query, problem.diag.statement_position)) from None


def _line(query: str, position: str | None) -> int | None:
    """The line of the query that a position in the whole statement, counted from 1, is in."""
    if position is None:
        return None
    return query.count("\n", 0, max(0, int(position) - 1 - len(_DECLARE))) + 1
