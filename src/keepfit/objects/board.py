"""Small files under names that are chosen, not computed: where machines leave word for each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from keepfit.core.errors import NotFound, StoreError
from keepfit.core.files import create_file


class Board(Protocol):
    """Files beside a store of objects, written once and never changed. Raises StoreError when the storage refuses."""

    def names(self, after: str = "") -> list[str]:
        """Names of the files that sort behind `after`, in order."""
        ...

    def read(self, name: str) -> bytes:
        """A file's content; NotFound when there is none."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Put a new file there, durably; False, and nothing changes, when there is one already."""
        ...

    def is_exclusive(self) -> bool:
        """Whether only one of several that create the same name at once is told that it did.

        Some servers take a new file for an old one without a word: this asks by trying.
        """
        ...


class FolderBoard:
    """The files of one folder."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    def names(self, after: str = "") -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._path) if name > after and not name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise StoreError(f"cannot read a folder: {problem.strerror}", where=str(self._path)) from problem

    def read(self, name: str) -> bytes:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"there is no `{name}`", where=str(self._path)) from None
        except OSError as problem:
            raise StoreError(f"cannot read `{name}`: {problem.strerror}", where=str(self._path)) from problem

    def create(self, name: str, content: bytes) -> bool:
        return create_file(self._path / name, content)

    def is_exclusive(self) -> bool:
        return True
