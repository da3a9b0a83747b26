"""A store on another machine, with a folder that keeps what was read from it or put into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from keepfit.core.errors import DamagedObject, NotFound
from keepfit.objects.copy import copy
from keepfit.objects.folder import Folder
from keepfit.objects.object import Objects


class Cached:
    """`far` is the store, see `Objects` for what it promises; the folder may lose anything at any time."""

    def __init__(self, far: Objects, folder: Path) -> None:
        self._far = far
        self._near = Folder(folder)
        self._scratch = folder / "incoming"

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        digest = self._far.put(content, like=like)
        self._near.put(content, like=like)
        return digest

    def put_all(self, contents: Iterable[bytes | Path]) -> list[str]:
        held = list(contents)
        digests = self._far.put_all(held)
        self._near.put_all(held)
        return digests

    def file(self, digest: str) -> Path | None:
        try:
            self._fetch(digest)
        except NotFound:
            return None
        return self._near.file(digest)

    def open(self, digest: str) -> BinaryIO:
        self._fetch(digest)
        return self._near.open(digest)

    def has(self, digest: str) -> bool:
        return self._far.has(digest)

    def list(self) -> Iterator[str]:
        return self._far.list()

    def delete(self, digest: str) -> None:
        self._far.delete(digest)
        self._near.delete(digest)

    def _fetch(self, digest: str) -> None:
        """Bring an object near, verified; NotFound when the store has none."""
        if not self._near.has(digest) and copy(self._far, self._near, digest, self._scratch) is None:
            raise DamagedObject(f"object `{digest}` is damaged in the store", hint="keepfit verify --repair")
