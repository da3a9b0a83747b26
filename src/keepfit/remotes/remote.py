"""A remote: where it is, and what this machine has seen of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import StoreError
from keepfit.core.files import locked, write_file
from keepfit.home import Home
from keepfit.objects import Board, Objects, open_board, open_objects
from keepfit.remotes.entry import Entry, Fold, fold


class Seen(msgspec.Struct, kw_only=True):
    """What this machine knows of a remote."""

    address: str
    exclusive: bool | None = None
    """Whether two that push at once cannot both succeed; None until it was tried."""
    entries: dict[str, Entry] = {}
    """Every push that was taken in, by the name of its file."""
    names: dict[str, str] = {}
    """Where the remote's names were when this machine last agreed with them."""
    pushed: int = 0
    """All facts up to this number are on the remote, with all they need."""
    partly: list[str] = []
    """Segments of later facts that are on the remote too: they came from there, or only a selection was pushed."""
    fetched: int = 0
    """All that facts up to this number need has been fetched."""


@dataclass(frozen=True)
class Remote:
    """Where a project is kept besides here: objects, and a log of pushes."""

    address: str
    objects: Objects
    log: Board
    folder: Path
    """What this machine keeps about it."""

    @contextmanager
    def seen(self) -> Iterator[Seen]:
        """What is known of the remote, for one process at a time; changes are kept by `keep`."""
        with locked(self.folder / "lock"):
            try:
                seen = msgspec.json.decode((self.folder / "seen.json").read_bytes(), type=Seen)
            except (OSError, msgspec.MsgspecError):
                seen = Seen(address=self.address)
            yield seen

    def keep(self, seen: Seen) -> None:
        """Keep what is known, durably."""
        write_file(self.folder / "seen.json", msgspec.json.encode(seen))

    def unseen(self, seen: Seen) -> list[str]:
        """Names of pushes that were not taken in; StoreError when one that was is gone."""
        there = self.log.names()
        if lost := sorted(seen.entries.keys() - set(there)):
            message = f"the remote has lost {len(lost)} of the pushes that were seen there before, first `{lost[0]}`"
            hint = f"if it was made anew on purpose: rm -r {self.folder}"
            raise StoreError(message, where=self.address, hint=hint)
        return [name for name in there if name not in seen.entries]

    def fold(self, seen: Seen) -> Fold:
        """Where the remote's names are, by the pushes taken in."""
        return fold(seen.entries)


def open_remote(home: Home, address: str) -> Remote:
    """The remote at an address such as `s3://bucket/prefix`, or a folder. Raises what `open_objects` does."""
    url = (address if ":" in address else f"folder:{address}").rstrip("/")
    open_board(url, home.root)  # what is wrong with the address is told of it, not of places below it
    return Remote(
        address=address,
        objects=open_objects(f"{url}/objects", home.root),
        log=open_board(f"{url}/log", home.root),
        folder=home.folder / "remotes" / digest_bytes(address.encode())[:16],
    )


def threads() -> ThreadPoolExecutor:
    """Enough to keep a remote busy."""
    return ThreadPoolExecutor(16, thread_name_prefix="remote")
