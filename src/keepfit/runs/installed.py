"""What is installed here, read from the records that installers leave: nothing is imported, nothing is guessed."""

from __future__ import annotations

import contextlib
import os
import re
import site
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from keepfit.core.digests import digest_bytes, digest_file, digest_value
from keepfit.core.errors import StoreError
from keepfit.core.files import write_file

_FOLDER = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+?)(?:-py\d.*)?\.(?:dist-info|egg-info)$")
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[(?P<extras>[^\]]*)\])?")
_EXTRA = re.compile(r"""\bextra\s*==\s*["']([\w.-]+)["']""")
_OWN = re.compile(r"\.dist-info/(?:RECORD|INSTALLER|REQUESTED|direct_url\.json|uv_\w+\.json)$|\.pyc$")
"""What installers add of their own: left out, so that pip and uv give one identity for one wheel."""

_MODULES = (".py", ".so", ".pyd")


class Requirement(msgspec.Struct, frozen=True, array_like=True):
    """What a distribution asks for."""

    name: str
    extras: list[str]
    when: str
    """The extra that asks for it; empty: always."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution as it is installed."""

    name: str
    version: str
    digest: str
    """Of each file's path and recorded hash; of the files where it is editable; empty without record."""
    place: str
    """Its `.dist-info` folder."""
    sources: list[str]
    """The folders an editable one is imported from."""
    local: bool
    """Whether it came from a folder, file or address instead of an index."""
    modules: list[str]
    """Top-level names it can be imported by."""
    requires: list[Requirement]


class _Known(msgspec.Struct, frozen=True, array_like=True):
    """What was read, and the marks by which its being unchanged is seen."""

    marks: list[int]
    tree: str
    found: Installed


def installed(cache: Path | None = None) -> dict[str, Installed]:
    """Name -> distribution, of all that a clean process can import.

    `cache` is a file that remembers what was read: while nothing is installed or removed, a look
    costs a walk over the folders' names. A cache that cannot be read or written is done without.
    """
    known = _read(cache)
    seen: dict[str, _Known] = {}
    found: dict[str, Installed] = {}
    for place in _places():
        entry = seen[place] = _look(place, known.get(place))
        found.setdefault(entry.found.name, entry.found)
    if cache is not None and seen != known:
        with contextlib.suppress(StoreError):
            write_file(cache, msgspec.json.encode(seen))
    return dict(sorted(found.items()))


def distributions_in(folder: Path) -> dict[str, Installed]:
    """Name -> distribution, of those in one folder for packages."""
    places = (folder / name for name in sorted(os.listdir(folder)) if _FOLDER.match(name))
    found = [_read_distribution(place) for place in places]
    return {d.name: d for d in found}


def normal(name: str) -> str:
    """The one spelling of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def recorded(place: Path) -> list[tuple[str, str]]:
    """Path (relative to the folder that `place` is in) and recorded hash of each file of a distribution.

    Without what the installer made or added, and without what lies elsewhere, such as scripts,
    which name their interpreter.
    """
    import csv

    with open(place / "RECORD", encoding="utf-8", newline="") as file:
        rows = [(row[0], row[1]) for row in csv.reader(file) if len(row) >= 2]
    inside = ((p, h) for p, h in rows if not p.startswith(("..", "/")) and not _OWN.search(p))
    return sorted(inside)


def source_files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Relative path and stat of each file of an editable distribution: its modules, and all that is in its packages."""
    for top in _tops(folder):
        path = os.path.join(folder, top)
        if not os.path.isdir(path):
            yield top, os.stat(path)
        for root, folders, names in os.walk(path):
            folders[:] = sorted(f for f in folders if not f.startswith((".", "__pycache__")))
            for name in sorted(names):
                file = os.path.join(root, name)
                if not name.startswith(".") and not name.endswith(".pyc") and os.path.isfile(file):
                    yield os.path.relpath(file, folder), os.stat(file)


def _tops(folder: str) -> list[str]:
    """What can be imported from a folder: modules, and folders with any in them."""
    found = []
    for entry in os.scandir(folder):
        package = entry.is_dir() and entry.name.isidentifier()
        names = os.listdir(entry) if package else [entry.name]
        if any(name.endswith(_MODULES) for name in names):
            found.append(entry.name)
    return sorted(found)


def _places() -> Iterator[str]:
    """The metadata folders of all distributions, in the order of imports; the user's own site is not seen by a run."""
    own = site.USER_SITE if site.ENABLE_USER_SITE else None
    for folder in sys.path:
        if folder and folder != own and os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                if _FOLDER.match(name):
                    yield os.path.join(folder, name)


def _look(place: str, known: _Known | None) -> _Known:
    record = os.path.join(place, "RECORD")
    stat = os.stat(record if os.path.exists(record) else place)
    marks = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
    if known and known.marks == marks and known.tree == _tree(known.found.sources):
        return known
    found = _read_distribution(Path(place))
    return _Known(marks, _tree(found.sources), found)


def _tree(sources: Iterable[str]) -> str:
    """Marks of an editable distribution's files: another string when one of them has changed."""
    stats = [[p, s.st_size, s.st_mtime_ns, s.st_ino] for folder in sources for p, s in source_files(folder)]
    return digest_value(stats) if stats else ""


def _read_distribution(place: Path) -> Installed:
    name, version, requires = _metadata(place)
    try:
        files = recorded(place)
    except (OSError, ValueError):
        files = []
    sources = _sources(place, files)
    if sources:
        modules = [n for folder in sources for n in _tops(folder)]
        content = [(p, digest_file(Path(f, p))) for f in sources for p, _ in source_files(f)]
        digest = digest_value(content)
    else:
        modules = [p for p, _ in files if ".dist-info" not in p]
        lines = "".join(f"{p},{h}\n" for p, h in files)
        digest = digest_bytes(lines.encode()) if files else ""
    tops = {re.split(r"[/.]", m, maxsplit=1)[0] for m in modules}
    return Installed(
        name=name,
        version=version,
        digest=digest,
        place=str(place),
        sources=sources,
        local=(place / "direct_url.json").exists(),
        modules=sorted(t for t in tops if t.isidentifier()) or [name.replace("-", "_")],
        requires=requires,
    )


def _metadata(place: Path) -> tuple[str, str, list[Requirement]]:
    match = _FOLDER.match(place.name)
    name, version = (match["name"], match["version"]) if match else (place.name, "")
    file = place if place.is_file() else place / ("METADATA" if place.suffix == ".dist-info" else "PKG-INFO")
    try:
        head = file.read_text("utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        head = ""
    requires = []
    for line in head.splitlines():
        key, _, value = line.partition(":")
        if key == "Version":
            version = value.strip()
        elif key == "Requires-Dist" and (wanted := _REQUIREMENT.match(value.strip())):
            extras = [normal(e.strip()) for e in (wanted["extras"] or "").split(",") if e.strip()]
            when = _EXTRA.search(value.partition(";")[2])
            requires.append(Requirement(normal(wanted["name"]), extras, normal(when[1]) if when else ""))
    return normal(name), version, requires


def _sources(place: Path, files: list[tuple[str, str]]) -> list[str]:
    """Where an editable distribution's code is; nothing for one that was copied to its place."""
    from urllib.parse import unquote, urlsplit

    try:
        told = msgspec.json.decode((place / "direct_url.json").read_bytes())
        if not told["dir_info"].get("editable"):
            return []
        root = unquote(urlsplit(told["url"]).path)
    except (OSError, msgspec.DecodeError, LookupError, TypeError, AttributeError):
        return []
    lines: list[str] = []
    for path, _ in files:
        if path.endswith(".pth"):
            lines += (place.parent / path).read_text("utf-8", errors="replace").splitlines()
    return [line for line in lines if os.path.isdir(line)] or [root]


def _read(cache: Path | None) -> dict[str, _Known]:
    try:
        return msgspec.json.decode(cache.read_bytes(), type=dict[str, _Known]) if cache else {}
    except (OSError, msgspec.DecodeError):
        return {}
