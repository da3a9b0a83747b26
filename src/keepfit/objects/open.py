"""From the address of a store of objects to the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from keepfit.core.errors import UsageError, did_you_mean
from keepfit.objects.board import Board, FolderBoard
from keepfit.objects.object import Objects


def open_objects(url: str, root: Path, *, cache: Path | None = None) -> Objects:
    """The store at `url`, such as `folder:.keepfit/objects` or `s3://bucket/delay`; a relative path counts from `root`.

    What is read from a store on another machine is kept in the folder `cache`, where one is
    given. Raises UsageError when no backend answers to the scheme, StoreError when the store
    cannot be opened.
    """
    store = _backend(url).objects(url, root)
    if cache is None or url.startswith("folder:"):
        return store
    from keepfit.objects.cached import Cached

    return Cached(store, cache)


def open_board(url: str, root: Path) -> Board:
    """Small files at an address like those of `open_objects`; raises what that does."""
    return _backend(url).board(url, root)


def _folder(url: str, root: Path) -> Objects:
    from keepfit.objects.folder import Folder

    return Folder(root / url.removeprefix("folder:"))


def _folder_board(url: str, root: Path) -> Board:
    return FolderBoard(root / url.removeprefix("folder:"))


def _bucket(url: str, root: Path) -> Objects:
    from keepfit.objects.obstore import Bucket

    return Bucket(url)


def _bucket_board(url: str, root: Path) -> Board:
    from keepfit.objects.obstore import BucketBoard

    return BucketBoard(url)


class _Backend(NamedTuple):
    objects: Callable[[str, Path], Objects]
    board: Callable[[str, Path], Board]


_SCHEMES = {
    "folder": _Backend(_folder, _folder_board),
    "s3": _Backend(_bucket, _bucket_board),
    "gs": _Backend(_bucket, _bucket_board),
    "az": _Backend(_bucket, _bucket_board),
}


def _backend(url: str) -> _Backend:
    scheme, colon, rest = url.partition(":")
    if scheme not in _SCHEMES or not colon or not rest.strip("/"):
        raise UsageError(f"`{url}` is not the address of a store of objects", hint=_hint(scheme))
    return _SCHEMES[scheme]


def _hint(scheme: str) -> str:
    return did_you_mean(scheme, _SCHEMES) or "known: " + ", ".join(f"`{name}`" for name in _SCHEMES)
