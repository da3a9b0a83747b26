"""What is known of files that were read before: not to be read again while the file system tells the same of them.

Kept in columns, folder by folder: a folder that has not changed is recognised by comparing bytes, without looking
at its files one by one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from keepfit.core.errors import StoreError
from keepfit.core.files import write_file
from keepfit.datasets.tree import Entry
from keepfit.datasets.walk import Stamp

_FINE = 20_000_000
"""Nanoseconds in which a file may change twice and its times only once: two ticks of the slowest kernel clock."""
_COARSE = 2_000_000_000
"""The same where the file system counts in seconds."""


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A folder as it was when it was last looked at."""

    stamps: msgspec.Raw
    """list[Stamp], of its files."""
    digests: msgspec.Raw
    """list[str], of its files."""
    folders: msgspec.Raw
    """list[Entry], of the folders below."""
    manifest: str
    size: int

    def digest_of(self) -> dict[Stamp, str]:
        """The digest of each file that looks as it did."""
        return dict(zip(_decode_stamps(self.stamps), self.all_digests(), strict=True))

    def all_digests(self) -> list[str]:
        """The digests of its files, in order."""
        return _decode_digests(self.digests)


Cache = dict[str, Known]
"""By the folder's path."""


def load_cache(path: Path) -> Cache:
    """The cache kept there; an empty one when there is none that can be read."""
    try:
        return _decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}


def save_cache(path: Path, cache: Cache) -> None:
    """Keep the cache; where the disk refuses, files are read again next time."""
    with contextlib.suppress(StoreError):
        write_file(path, encode(cache))


def blurred(stamp: Stamp, moment: int) -> Stamp:
    """The stamp to keep of a file that was looked at at this moment.

    A file that changed too shortly before could change again without its times telling: what is
    then kept never looks like the file, so that it is read again.
    """
    name, size, modified, changed, inode = stamp
    grain = _COARSE if modified % 1_000_000_000 == 0 else _FINE
    return (name, size, -1, -1, inode) if max(modified, changed) > moment - grain else stamp


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cache).decode
_decode_stamps = msgspec.msgpack.Decoder(list[Stamp]).decode
_decode_digests = msgspec.msgpack.Decoder(list[str]).decode


def known_as(stamps: bytes, digests: list[str], folders: list[Entry], manifest: str, size: int) -> Known:
    """What is kept of a folder."""
    return Known(msgspec.Raw(stamps), msgspec.Raw(encode(digests)), msgspec.Raw(encode(folders)), manifest, size)
