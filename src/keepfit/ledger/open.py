"""From a ledger's address to the ledger."""

from __future__ import annotations

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
        raise UsageError(f"`{url}` is not the address of a ledger", hint=_hint(scheme))
    return _SCHEMES[scheme](rest, root)


def _sqlite(path: str, root: Path) -> Ledger:
    from keepfit.ledger.sqlite import SqliteLedger

    return SqliteLedger(root / path)


_SCHEMES: dict[str, Callable[[str, Path], Ledger]] = {"sqlite": _sqlite}


def _hint(scheme: str) -> str:
    return did_you_mean(scheme, _SCHEMES) or "known: " + ", ".join(f"`{name}`" for name in _SCHEMES)
