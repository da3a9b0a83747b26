"""Opening a package: nothing in it is believed before its signature and digests are checked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

import msgspec

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import PackageError
from keepfit.core.files import write_folder
from keepfit.home import Home
from keepfit.objects import read
from keepfit.packages.package import ENVELOPE, Manifest
from keepfit.packages.sign import opened


def unpack(home: Home, digest: str, folder: Path) -> Manifest:
    """Verify the archive with this digest and lay it out in `folder` (which appears whole or not at all).

    A folder that is already there was verified when it appeared. Raises PackageError when the
    archive is damaged, signed with another key, or holds anything its manifest does not name.
    """
    if not folder.exists():
        members, manifest = verified(read(home.objects, digest), home.folder / "key")
        write_folder(folder, lambda part: lay_out(members, manifest, part))
    return read_manifest(folder)


def verified(archive: bytes, key: Path, *, trust: str | None = None) -> tuple[dict[str, bytes], Manifest]:
    """The members of an archive and its manifest, when everything about it is right; PackageError otherwise.

    It is signed with the key in this file, one that is trusted there, or the one with the id `trust`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as held:
            members = {name: held.read(name) for name in held.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as problem:
        raise PackageError("the package is damaged: it is not a readable archive") from problem
    if ENVELOPE not in members:
        raise PackageError("the package is not signed", hint="keepfit package")
    payload = opened(members.pop(ENVELOPE), key, trust=trust)
    try:
        manifest = msgspec.json.decode(payload, type=Manifest)
    except msgspec.MsgspecError as problem:
        raise PackageError(f"the package was made by another version of keepfit: {problem}") from problem
    if set(members) != set(manifest.members):
        odd = sorted(set(members) ^ set(manifest.members))[0]
        raise PackageError(f"the package does not hold what its manifest says: `{odd}`")
    for name, digest in manifest.members.items():
        if digest_bytes(members[name]) != digest:
            raise PackageError(f"`{name}` in the package is damaged")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise PackageError(f"`{name}` in the package would be written outside its folder")
    return members, manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an unpacked package; PackageError when there is none."""
    try:
        return msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as problem:
        raise PackageError("this is not an unpacked package", where=str(folder)) from problem


def lay_out(members: dict[str, bytes], manifest: Manifest, folder: Path) -> None:
    """Write what has been verified into a folder."""
    for name, content in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
