"""Which package a name stands for, laid out on this machine."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import msgspec

from keepfit.core.errors import NotFound, did_you_mean
from keepfit.core.files import is_read_only
from keepfit.home import Home
from keepfit.models.model import find_model
from keepfit.packages.build import build
from keepfit.packages.package import Manifest
from keepfit.packages.unpack import read_manifest, unpack
from keepfit.serving.desired import Release, desired, pinned

CHAMPION = "champion"


class Packaged(msgspec.Struct, frozen=True, kw_only=True):
    """A verified package."""

    digest: str
    folder: Path
    manifest: Manifest
    release: Release | None
    """Of the champion: what put it into production."""


def packaged(home: Home, name: str, reference: str) -> Packaged:
    """The package of `delay` (the champion), `delay@7`, `delay@challenger` or a model's id; built if it is not there.

    Raises NotFound when nothing goes by that name, PackageError for a package that is damaged or signed
    with a key that is not trusted.
    """
    which = _which(name, reference)
    if which != CHAMPION:
        return _laid_out(home, build(home, find_model(home, name, which)).refs["package"], None)
    live = desired(home.ledger, name)
    if live is None:
        raise NotFound(f"no version of `{name}` is in production", hint="keepfit retrain")
    return _laid_out(home, live.champion.package, live.champion)


def pinned_champion(folder: Path, name: str, reference: str) -> Packaged | None:
    """The champion as the endpoint pinned it in this folder, if that is what is asked for: no store is needed."""
    live = pinned(folder / "pins" / "live.json")
    if live is None or _which(name, reference) != CHAMPION:
        return None
    place = _pin(folder, live.champion.package)
    if not place.is_dir():
        return None
    return Packaged(digest=live.champion.package, folder=place, manifest=read_manifest(place), release=live.champion)


def _which(name: str, reference: str) -> str:
    model, _, which = reference.partition("@")
    if which and model != name:
        raise NotFound(f"there is no model `{model}`: this is `{name}`", hint=did_you_mean(model, [name]))
    return which or (CHAMPION if reference == name else reference)


def _laid_out(home: Home, digest: str, release: Release | None) -> Packaged:
    folder = _place(home, digest)
    return Packaged(digest=digest, folder=folder, manifest=unpack(home, digest, folder), release=release)


def _place(home: Home, package: str) -> Path:
    """Beside those that are served, or, on a read-only disk, only for now."""
    place = _pin(home.folder, package)
    return place if place.exists() or not is_read_only(home.folder) else for_now() / "package"


def _pin(folder: Path, package: str) -> Path:
    return folder / "pins" / package[:16]


def for_now() -> Path:
    """A folder that is gone when this process is."""
    spare = Path(tempfile.mkdtemp(prefix="keepfit-"))
    atexit.register(shutil.rmtree, spare, ignore_errors=True)
    return spare
