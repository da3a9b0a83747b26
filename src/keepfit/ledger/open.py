"""From a ledger's address to the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from keepfit.core.errors import UsageError, did_you_mean
from keepfit.ledger.fact import Ledger


def open_ledger(url: str, root: Path) -> Ledger:
    """The ledger at `url`, such as `sqlite:.keepfit/ledger.db`; a relative path counts from `root`.

    Raises UsageError when no backend answers to the scheme, StoreError when the ledger cannot be opened.
    """
    scheme, colon, rest = url.partition(":")
    if scheme not in _SCHEMES or not colon or not rest:
        raise UsageError(f"`{_SECRET.sub('***', url)}` is not the address of a ledger", hint=_hint(scheme))
    return _SCHEMES[scheme](rest, root)


def _sqlite(path: str, root: Path) -> Ledger:
    from keepfit.ledger.sqlite import SqliteLedger

    return SqliteLedger(root / path)


def _postgres(address: str, root: Path) -> Ledger:
    try:
        from keepfit.ledger.postgres import PostgresLedger
    except ImportError as problem:
        raise UsageError("a ledger in PostgreSQL needs psycopg", hint="pip install 'keepfit[postgres]'") from problem
    return PostgresLedger(f"postgresql:{address}")


_SCHEMES: dict[str, Callable[[str, Path], Ledger]] = {
    "postgres": _postgres,
    "postgresql": _postgres,
    "sqlite": _sqlite,
}
_SECRET = re.compile(r"(?<=//).*(?=@)|(?<=password=)[^&]*")
"""Where an address may hold a password."""


def _hint(scheme: str) -> str:
    return did_you_mean(scheme, _SCHEMES) or "known: " + ", ".join(f"`{name}`" for name in _SCHEMES)
