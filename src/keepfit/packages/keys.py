"""Whose packages are in the ledger: the keys that signed them, and which of these are trusted here."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import msgspec

from keepfit.core.errors import DamagedObject, NotFound, PackageError
from keepfit.home import Home
from keepfit.ledger import Fact, Query
from keepfit.objects import read
from keepfit.packages.package import ENVELOPE
from keepfit.packages.sign import Key, is_trusted, own_key, signer, trust

_NEWEST = 200
"""Packages that are looked at."""


class Met(msgspec.Struct, kw_only=True):
    """A key that signed packages."""

    id: str
    own: bool
    trusted: bool
    actor: str
    """Who made the newest of them, by the ledger."""
    packages: int = 0


def met_keys(home: Home) -> list[Met]:
    """The keys that signed the newest packages, the one of the newest first."""
    own, found = home.folder / "key", dict[str, Met]()
    for fact, key in _signed(home):
        if key.id not in found:
            trusted = is_trusted(key.id, own)
            found[key.id] = Met(id=key.id, own=key.id == own_key(own).id, trusted=trusted, actor=fact.actor)
        found[key.id].packages += 1
    return list(found.values())


def trust_key(home: Home, id: str) -> None:
    """Believe from now on what a key has signed; NotFound when it signed none of the newest packages."""
    for _, key in _signed(home):
        if key.id == id:
            trust(key, home.folder / "key")
            return
    raise NotFound(f"no package is signed with the key `{id}`", hint="keepfit trust")


def _signed(home: Home) -> Iterator[tuple[Fact, Key]]:
    for fact in home.ledger.find(Query(kind="package", limit=_NEWEST)):
        try:
            with zipfile.ZipFile(io.BytesIO(read(home.objects, fact.refs["package"]))) as archive:
                yield fact, signer(archive.read(ENVELOPE))
        except (NotFound, DamagedObject, PackageError, zipfile.BadZipFile, KeyError):
            continue  # not here, or damaged: `verify` tells
