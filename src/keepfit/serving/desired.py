"""Which release should be live: what the ledger says, and what is pinned on this machine."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import msgspec

from keepfit.core.errors import StoreError
from keepfit.core.files import write_file
from keepfit.ledger import Ledger


class Release(msgspec.Struct, frozen=True):
    """A model version, under the release that puts it into production."""

    id: str
    """Of the fact that records the release."""
    version: int
    package: str
    """Digest of the archive."""


class Live(msgspec.Struct, frozen=True):
    """What is, or should be, in production."""

    champion: Release
    previous: Release | None = None
    """Stays loaded beside the champion, to answer when that cannot."""

    def pin(self, path: Path) -> None:
        """Keep it durably in a file, unless that holds it already; raises StoreError when the disk refuses."""
        if pinned(path) != self:
            write_file(path, msgspec.json.encode(self))


def pinned(path: Path) -> Live | None:
    """What the file says was live last; None when there is no such file, or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Live)
    except (OSError, msgspec.MsgspecError):
        return None


def desired(ledger: Ledger, model: str, unfit: Container[str] = ()) -> Live | None:
    """What the ledger says should be live; None before the first release. Raises StoreError.

    The previous champion is the newest earlier release of another package that is not among the `unfit`.
    """
    id = ledger.name(f"release/{model}")
    if id is None:
        return None
    champion, id = _release(ledger, id)
    while id is not None:
        previous, id = _release(ledger, id)
        if previous.package != champion.package and previous.package not in unfit:
            return Live(champion, previous)
    return Live(champion)


def _release(ledger: Ledger, id: str) -> tuple[Release, str | None]:
    fact = ledger.get(id)
    if fact is None or "package" not in fact.refs or "version" not in fact.body:
        raise StoreError(f"the ledger has no release `{id}`", hint="keepfit verify")
    return Release(fact.id, int(fact.body["version"]), fact.refs["package"]), fact.refs.get("previous")
