"""Taking in pushes of others: their signatures are checked, their facts read, nothing recorded yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import DamagedObject, NotFound, PackageError, Refused
from keepfit.home import Home
from keepfit.objects import read
from keepfit.packages.sign import Key, is_trusted, signer, trust
from keepfit.remotes.entry import Entry, lines_of, unsealed
from keepfit.remotes.remote import Remote, threads


class Taken(NamedTuple):
    """Pushes that may be believed."""

    entries: dict[str, Entry]
    trusted: list[str]
    """Keys that are trusted from now on."""


def take(home: Home, remote: Remote, names: Sequence[str], *, trusting: Collection[str], first: bool) -> Taken:
    """The pushes with these names, all of them signed with trusted keys.

    Keys in `trusting` become trusted, and on the `first` pull of a new machine all that are
    met, as ssh does with a host. Refused, and nothing is taken, when another key is met.
    """
    with threads() as pool:
        files = dict(zip(names, pool.map(remote.log.read, names), strict=True))
    signers = {name: _signer(remote, name, file) for name, file in files.items()}
    own = home.folder / "key"
    strange = {k.id: k for k in signers.values() if not is_trusted(k.id, own)}
    refused = [k for k in strange.values() if k.id not in trusting and not first]
    if refused:
        name = next(name for name, key in signers.items() if key.id == refused[0].id)
        raise Refused(
            f"push `{name}` is signed with the key `{refused[0].id}`, which is not trusted here; nothing was taken",
            where=remote.address,
            hint=f"if you know whose key that is: keepfit pull --trust {refused[0].id}",
        )
    for key in strange.values():
        trust(key, own)
    return Taken({name: _entry(home, remote, name, file) for name, file in files.items()}, sorted(strange))


def lines(home: Home, remote: Remote, segments: Sequence[str]) -> Iterator[bytes]:
    """The facts, or curves, of segments, line by line; fetched once and kept here too. Raises DamagedObject."""
    with threads() as pool:
        for content in pool.map(lambda digest: _segment(home, remote, digest), segments):
            yield from lines_of(content)


def _segment(home: Home, remote: Remote, digest: str) -> bytes:
    if home.objects.has(digest) and digest_bytes(content := read(home.objects, digest)) == digest:
        return content
    try:
        content = read(remote.objects, digest)
    except NotFound:
        content = b""
    if digest_bytes(content) != digest:
        what = "damaged" if content else "missing"
        hint = "on the machine that pushed it: keepfit verify --remote --repair"
        raise DamagedObject(f"facts on the remote, object `{digest}`, are {what}", where=remote.address, hint=hint)
    home.objects.put(content)
    return content


def _signer(remote: Remote, name: str, file: bytes) -> Key:
    try:
        return signer(file)
    except PackageError as problem:
        raise DamagedObject(f"push `{name}` cannot be read: {problem.message}", where=remote.address) from problem


def _entry(home: Home, remote: Remote, name: str, file: bytes) -> Entry:
    try:
        return unsealed(file, home.folder / "key")
    except PackageError as problem:
        message = f"push `{name}` is damaged: {problem.message}"
        raise DamagedObject(message, where=remote.address, hint=problem.hint) from problem
