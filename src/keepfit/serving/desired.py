"""Which release should be live: what the ledger says, and what is pinned on this machine."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Literal

import msgspec

from keepfit.core.errors import StoreError
from keepfit.core.files import write_file
from keepfit.ledger import Fact, Ledger


class Release(msgspec.Struct, frozen=True):
    """A model version, under the release that puts it into production."""

    id: str
    """Of the fact that records the release."""
    version: int
    package: str
    """Digest of the archive."""
    since: float = 0.0
    """When it was first released (seconds since 1970); 0 for one that had been champion before."""


class Trial(Release, frozen=True):
    """A model version beside the champion, under the fact that says how it is tried."""

    stage: Literal["shadow", "canary"] = "shadow"
    """Mirrored, and never answered from; or answering a share."""
    share: float = 1.0
    """Of the requests, from 0 to 1."""
    key: str | None = None
    """Input by whose value requests are chosen; by lot if unset."""


class Live(msgspec.Struct, frozen=True):
    """What is, or should be, in production."""

    champion: Release
    previous: Release | None = None
    """Stays loaded beside the champion, to answer when that cannot."""
    challenger: Trial | None = None

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


def names(ledger: Ledger, model: str) -> tuple[str | None, str | None]:
    """What tells whether anything has changed: the newest fact of the releases, and that of the rollouts."""
    return ledger.name(f"release/{model}"), ledger.name(f"rollout/{model}")


def desired(ledger: Ledger, model: str, unfit: Container[str] = (), stopped: Container[str] = ()) -> Live | None:
    """What the ledger says should be live; None before the first release. Raises StoreError.

    A release that was `stopped` (by id) gives way to the one before. The previous champion is the
    newest earlier release of another package that is not among the `unfit`.
    """
    id, rollout = names(ledger, model)
    if id is None:
        return None
    champion, id = _release(ledger, id)
    while champion.id in stopped and id is not None:
        champion, id = _release(ledger, id)
    challenger = _trial(ledger, rollout, stopped) if rollout else None
    while id is not None:
        previous, id = _release(ledger, id)
        if previous.package != champion.package and previous.package not in unfit:
            return Live(champion, previous, challenger)
    return Live(champion, None, challenger)


def _release(ledger: Ledger, id: str) -> tuple[Release, str | None]:
    fact = _fact(ledger, id)
    since = 0.0 if "rejected" in fact.refs else fact.time.timestamp()
    return Release(fact.id, int(fact.body["version"]), fact.refs["package"], since), fact.refs.get("previous")


def _trial(ledger: Ledger, id: str, stopped: Container[str]) -> Trial | None:
    fact = _fact(ledger, id)
    stage = fact.body.get("stage")
    if stage not in ("shadow", "canary") or fact.id in stopped:
        return None
    share = fact.body.get("share") or (1.0 if stage == "shadow" else 0.0)
    return Trial(
        fact.id,
        int(fact.body["version"]),
        fact.refs["package"],
        fact.time.timestamp(),
        stage=stage,
        share=share,
        key=fact.body.get("key"),
    )


def _fact(ledger: Ledger, id: str) -> Fact:
    fact = ledger.get(id)
    if fact is None or "package" not in fact.refs or "version" not in fact.body:
        raise StoreError(f"the ledger has no release `{id}`", hint="keepfit verify")
    return fact
