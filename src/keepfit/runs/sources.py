"""Distributions that no index gives, kept as objects so that they can be installed again: editable and local ones."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from keepfit.core.errors import DamagedObject, StoreError
from keepfit.core.files import write_file
from keepfit.home import Home
from keepfit.objects import read
from keepfit.runs.installed import Installed, recorded, source_files

LARGEST = 64 << 20
"""Bytes of a distribution beyond which it is not kept."""
_CACHE = "cache/sources.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def keep_sources(home: Home, packages: Iterable[Installed]) -> dict[str, str]:
    """Name -> object digest of the archive of each distribution that no index gives; not of one that is too large."""
    cache = home.folder / _CACHE
    try:
        before = msgspec.json.decode(cache.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        before = {}
    kept, known = {}, dict(before)
    for package in packages:
        mark = f"{package.name} {package.digest}"
        if (package.local or package.sources) and package.digest:
            if not home.objects.has(known.get(mark, "")):
                archive = _archive(package)
                known[mark] = home.objects.put(archive) if archive else ""
            if known[mark]:
                kept[package.name] = known[mark]
    if known != before:
        write_file(cache, msgspec.json.encode(known))
    return kept


def install_sources(home: Home, digest: str, site: Path) -> None:
    """Lay a kept distribution out in a folder for packages; DamagedObject when it would write anywhere else."""
    with zipfile.ZipFile(io.BytesIO(read(home.objects, digest))) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise DamagedObject(f"`{name}` would be written outside the environment")
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_bytes(archive.read(name))


def files_of(package: Installed) -> Iterator[tuple[str, Path]]:
    """Path in a folder for packages, and present place, of each file of a distribution, its metadata included."""
    place = Path(package.place)
    for folder in package.sources:
        yield from ((path, Path(folder, path)) for path, _ in source_files(folder))
    for path, _ in recorded(place):
        if not package.sources or path.startswith(place.name):
            yield path, place.parent / path


def record(place: str, rows: Iterable[tuple[str, str, int]]) -> bytes:
    """The text of a RECORD of these files: path, hash and size."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([*rows, (f"{place}/RECORD", "", "")])
    return out.getvalue().encode()


def hash_of(content: bytes) -> str:
    """As RECORD writes it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def _archive(package: Installed) -> bytes:
    """The distribution as it would be installed, the same bytes every time; nothing when it is too large."""
    content: dict[str, bytes] = {}
    size = 0
    try:
        for name, file in files_of(package):
            content[name] = file.read_bytes()
            size += len(content[name])
            if size > LARGEST:
                return b""
    except OSError as problem:
        raise StoreError(f"cannot read `{package.name}`: {problem.strerror}", where=package.place) from problem
    place = Path(package.place).name
    rows = [(name, hash_of(data), len(data)) for name, data in sorted(content.items())]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [*sorted(content.items()), (f"{place}/RECORD", record(place, rows))]:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return out.getvalue()
