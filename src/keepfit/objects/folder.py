"""Objects in a folder: large ones as read-only files, small ones together, later versions as what is new in them."""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from keepfit.core.digests import digest_bytes, digest_file, digest_stream
from keepfit.core.errors import DamagedObject, NotFound, StoreError
from keepfit.core.files import sweep, sync_folder, write_file, write_files
from keepfit.objects.index import READ_ONLY, Index
from keepfit.objects.layout import Layout, is_digest
from keepfit.objects.pack import NEW, recipe
from keepfit.objects.piece import Piece, open_pieces

_SMALL = 1 << 20
"""Bytes from which an object is a file of its own."""
_PACK = 1 << 25
"""Bytes, at most, that are held in memory before they become durable together."""
_FILES = 64
"""Files, at most, that become durable together."""
_LIKE = 1 << 22
"""Bytes from which it pays to look for what is new in a file."""
_WORTH = 0.8
"""The most, as a share of a file, that may be new if only that is to be stored."""
_SOURCES = 64
"""Sources, at most, of one object: each is a file to open."""
_SETTLED = 60.0
"""Seconds after which a file's name is on the disk, whoever put it there."""


class Folder:
    """The store in the folder at `path`; see `Objects` for what it promises, and `Layout` for what lies where.

    Any number of threads and processes may share it. Nothing is made before the first `put`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._layout = Layout(self._path)
        self._index = Index(self._layout)

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        if like is not None and isinstance(content, Path) and (digest := self._put_difference(content, like)):
            return digest
        return self.put_all([content])[0]

    def put_all(self, contents: Iterable[bytes | Path]) -> list[str]:
        digests, small, large = list[str](), dict[str, bytes](), dict[str, bytes | Path]()
        held = 0
        for content in contents:
            content = _read_small(content) if isinstance(content, Path) else content
            digest = _digest_file(content) if isinstance(content, Path) else digest_bytes(content)
            digests.append(digest)
            if isinstance(content, bytes):
                held += len(content)
            if isinstance(content, bytes) and len(content) < _SMALL:
                small[digest] = content
            else:
                large[digest] = content
            if held > _PACK or len(large) >= _FILES:
                self._store(small, large)
                held, small, large = 0, {}, {}
        self._store(small, large)
        return digests

    def file(self, digest: str) -> Path | None:
        if not is_digest(digest):
            return None
        place = self._layout.object(digest)
        return place if place.is_file() else None

    def open(self, digest: str) -> BinaryIO:
        for _ in range(3):  # an object may be moved while we look for it
            with suppress(FileNotFoundError):
                if stream := self._open(digest):
                    return stream
            if not self.has(digest):
                break
        raise NotFound(f"there is no object `{digest}`", where=str(self._path), hint="keepfit verify")

    def has(self, digest: str) -> bool:
        return is_digest(digest) and (self._layout.object(digest).is_file() or bool(self._index.known([digest])))

    def list(self) -> Iterator[str]:
        """Digests of all objects; what killed writers left behind is cleared on the way."""
        for folder in filter(Path.is_dir, sorted(self._path.glob("??"))):
            sweep(folder)
            for name in os.listdir(folder):
                if is_digest(digest := folder.name + name):
                    yield digest
        for digest in self._index.list():
            if not self._layout.object(digest).is_file():
                yield digest
        with suppress(StoreError, OSError):  # a disk that cannot be written
            self._index.sweep()

    def delete(self, digest: str) -> None:
        if not is_digest(digest):
            return
        try:
            if self._layout.object(digest).is_file():
                self._index.delete_file(digest)
            if self._index.known([digest]):
                self._index.delete(digest)
        except OSError as problem:
            raise StoreError(f"cannot delete object `{digest}`: {problem.strerror}", where=str(self._path)) from problem

    def check(self) -> None:
        """DamagedObject when the index is lost or damaged; objects are not looked at."""
        self._index.check()

    def mend(self) -> int | None:
        """As `mend.mend`, for this store."""
        from keepfit.objects.mend import mend

        self._index.close()
        found = mend(self._layout)
        self._index = Index(self._layout)
        return found

    def _open(self, digest: str) -> BinaryIO | None:
        if not is_digest(digest):
            return None
        if place := self.file(digest):
            try:
                return open(place, "rb")
            except FileNotFoundError:
                raise
            except OSError as problem:
                message = f"cannot read object `{digest}`: {problem.strerror}"
                raise StoreError(message, where=str(self._path)) from problem
        found = self._index.find(digest)
        if isinstance(found, bytes):
            return io.BytesIO(found)
        if found and len(found) == 1 and found[0].length < _SMALL:
            return io.BytesIO(self._layout.read(found[0]))
        return open_pieces(found, self._layout.open) if found else None

    def _settled(self, digest: str) -> bool:
        """Whether the object is there to stay; its writer may have ended before the folder was synced."""
        folder = f"{self._path}/{digest[:2]}"  # as text: it is asked for every file of a large folder
        try:
            if time.time() - os.stat(f"{folder}/{digest[2:]}").st_ctime < _SETTLED:
                sync_folder(Path(folder))
        except OSError:
            return False
        return True

    def _store(self, small: dict[str, bytes], large: dict[str, bytes | Path]) -> None:
        """Make durable what is not there yet."""
        known = self._index.known([*small, *large])
        files = {
            self._layout.object(digest): content if isinstance(content, bytes) else _copier(content, digest)
            for digest, content in large.items()
            if digest not in known and not self._settled(digest)
        }
        if files:
            write_files(files, mode=READ_ONLY)
            for digest in large:
                self._index.drop_copy(digest)
        new = {d: content for d, content in small.items() if d not in known and not self._settled(d)}
        if new:
            self._index.add(new)

    def _put_difference(self, path: Path, like: str) -> str | None:
        """Store what is new in a file; gives its digest, or None, and nothing done, where that does not pay."""
        from keepfit.objects.difference import find_difference

        with _told(path):
            known = self._chunks(like) if path.stat().st_size >= _LIKE else {}
        if not known:
            return None
        with _told(path), open(path, "rb", buffering=0) as file:
            found = find_difference(file, known, self._index.chunking())
        if self.has(found.digest):
            return None
        if found.new_size > _WORTH * found.size or len({piece.source for piece in found.pieces}) > _SOURCES:
            return None
        pack = self._layout.new_pack(NEW)
        pieces = [piece if piece.source else piece._replace(source=pack) for piece in found.pieces]
        if not found.new:
            pieces.append(Piece(pack, 0, 0))  # it holds the recipe
        try:
            end = recipe(found.digest, pieces)
            write_file(self._layout.pack(pack), _ranges_copier(path, found.new, end), mode=READ_ONLY)
            stored = self._gives(pieces, found.digest)
        except DamagedObject:  # the file has become shorter
            stored = False
        if stored and self._index.add_pieces(found.digest, pieces, pack, found.chunks):
            return found.digest
        self._layout.pack(pack).unlink(missing_ok=True)
        return None

    def _gives(self, pieces: Sequence[Piece], digest: str) -> bool:
        """Whether the pieces really are the object: a source may be damaged, or the file have changed meanwhile."""
        try:
            with open_pieces(pieces, self._layout.open) as stream:
                return digest_stream(stream) == digest
        except DamagedObject:
            return False

    def _chunks(self, like: str) -> dict[bytes, Piece]:
        """Chunks of the sources that an object is made of, where each lies; none when it is small."""
        from keepfit.objects.difference import list_chunks, read_chunks

        if not self.has(like):
            return {}
        if self._settled(like):
            sources = {like}
        else:
            found = self._index.find(like)
            sources = {piece.source for piece in found} if isinstance(found, list) else set()
        known = dict[bytes, Piece]()
        for source in sources:
            chunks = self._index.chunks(source)
            if chunks is None:
                try:
                    with self._layout.open(source) as stream:
                        chunks = list_chunks(stream, self._index.chunking())
                except DamagedObject:  # deleted meanwhile, or lost
                    continue
                self._index.keep_chunks(source, chunks)
            known.update(read_chunks(source, chunks))
        return known


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Put what the system says of a file that is read into the user's words."""
    try:
        yield
    except OSError as problem:
        message = f"cannot read `{path.name or path}`: {problem.strerror or problem}"
        raise StoreError(message, where=str(path.parent), hint=f"ls -l {path}") from problem


def _read_small(path: Path) -> bytes | Path:
    """The content of a small file, or the path of a large one."""
    with _told(path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(f"`{path.name or path}` is not a file", where=str(path.parent), hint=f"ls -ld {path}")
            if status.st_size >= _SMALL:
                return path
            content = os.read(fd, _SMALL)
            while len(content) < _SMALL and (more := os.read(fd, _SMALL)):
                content += more
        finally:
            os.close(fd)
    return content if len(content) < _SMALL else path


def _digest_file(path: Path) -> str:
    with _told(path):
        return digest_file(path)


def _copier(path: Path, digest: str) -> Callable[[IO[bytes]], None]:
    def copy(target: IO[bytes]) -> None:
        with ExitStack() as opened:
            with _told(path):
                source = opened.enter_context(open(path, "rb", buffering=0))
            copied = digest_stream(source, target)
        if copied != digest:
            message = f"`{path.name}` changed while it was read"
            raise StoreError(message, where=str(path.parent), hint="put it again")

    return copy


def _ranges_copier(path: Path, ranges: Sequence[Piece], end: bytes) -> Callable[[IO[bytes]], None]:
    def copy(target: IO[bytes]) -> None:
        with open_pieces(ranges, lambda _: open(path, "rb", buffering=0)) as source:
            while block := source.read(1 << 20):
                target.write(block)
        target.write(end)

    return copy
