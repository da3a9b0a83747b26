"""From the address of a store of objects to the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keepfit.core.errors import UsageError, did_you_mean
from keepfit.objects.object import Objects


def open_objects(url: str, root: Path) -> Objects:
    """The store at `url`, such as `folder:.keepfit/objects`; a relative path counts from `root`.

    Raises UsageError when no backend answers to the scheme, StoreError when the store cannot be opened.
    """
    scheme, colon, rest = url.partition(":")
    if scheme not in _SCHEMES or not colon or not rest:
        raise UsageError(f"`{url}` is not the address of a store of objects", hint=_hint(scheme))
    return _SCHEMES[scheme](rest, root)


def _folder(path: str, root: Path) -> Objects:
    from keepfit.objects.folder import Folder

    return Folder(root / path)


_SCHEMES: dict[str, Callable[[str, Path], Objects]] = {"folder": _folder}


def _hint(scheme: str) -> str:
    return did_you_mean(scheme, _SCHEMES) or "known: " + ", ".join(f"`{name}`" for name in _SCHEMES)
