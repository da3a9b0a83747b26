"""What a store holds that are not files of their own: small objects, and objects put together from ranges."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate

from keepfit.core.errors import DamagedObject
from keepfit.core.files import sweep, write_file
from keepfit.core.sqlite import Connection, Database, DiskFull
from keepfit.objects.fastcdc import Chunking
from keepfit.objects.layout import Layout, is_digest
from keepfit.objects.piece import Piece

_APPLICATION = 0x6B666F62
"""`kfob`, in the header of the file."""
_PAGE = 1000
_GRACE = 3600.0
"""Seconds that a new pack may take to be written down in the database."""
READ_ONLY = 0o444

_SCHEMA = (
    """CREATE TABLE source (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
    live INTEGER NOT NULL,  -- bytes that small objects have in it
    chunks BLOB)""",
    """CREATE TABLE object (
    id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    content BLOB, source INTEGER, start INTEGER)  -- its bytes; or where they are; or neither: see its pieces""",
    "CREATE INDEX object_source ON object (source) WHERE source IS NOT NULL",
    """CREATE TABLE piece (
    object INTEGER NOT NULL, at INTEGER NOT NULL, source INTEGER NOT NULL, start INTEGER NOT NULL,
    length INTEGER NOT NULL, PRIMARY KEY (object, at)) WITHOUT ROWID""",
    "CREATE INDEX piece_source ON piece (source)",
    "CREATE TABLE chunking (least INTEGER NOT NULL, average INTEGER NOT NULL, most INTEGER NOT NULL)",
    f"INSERT INTO chunking VALUES {tuple(Chunking())}",
)


class Index:
    """The database of the store in `layout`, made at the first write."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        path = layout.path / "objects.db"
        self._database = Database(
            path, what="the store of objects", application=_APPLICATION, version=1, schema=_SCHEMA
        )

    def find(self, digest: str) -> bytes | list[Piece] | None:
        """The bytes of an object, or what it is put together from; None when it is not here."""
        if not self._database.exists():
            return None
        with self._database.reading() as connection:
            select = """SELECT object.id, content, name, start, object.size FROM object
                LEFT JOIN source ON source.id = source WHERE digest = ?"""
            row = connection.execute(select, (bytes.fromhex(digest),)).fetchone()
            if row is None:
                return None
            id, content, source, start, size = row
            if content is not None:
                return bytes(content)
            if source is not None:
                return [Piece(source, start, size)]
            select = "SELECT name, start, length FROM piece JOIN source ON source.id = source WHERE object = ?"
            found = connection.execute(f"{select} ORDER BY at", (id,)).fetchall()
        return [Piece(*values) for values in found] or None

    def known(self, digests: Collection[str]) -> set[str]:
        """Those of the digests that are here."""
        if not self._database.exists():
            return set()
        with self._database.reading() as connection:
            return {digest for digest in digests if _has(connection, digest)}

    def list(self) -> Iterator[str]:
        """All digests, in the order they came, which is about that of their bytes on the disk."""
        last = 0
        while self._database.exists():
            with self._database.reading() as connection:  # let go of before anyone acts on what was found
                select = "SELECT id, hex(digest) FROM object WHERE id > ? ORDER BY id LIMIT ?"
                page = connection.execute(select, (last, _PAGE)).fetchall()
            if not page:
                return
            last = page[-1][0]
            yield from (digest.lower() for _, digest in page)

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Keep the bytes of small objects in the database itself."""
        rows = [(bytes.fromhex(digest), len(content), content) for digest, content in contents.items()]
        with self._database.writing() as connection:
            connection.executemany("INSERT OR IGNORE INTO object (digest, size, content) VALUES (?, ?, ?)", rows)

    def add_pack(self, contents: Mapping[str, bytes]) -> None:
        """Keep the bytes of small objects in a new pack."""
        pack = self._layout.new_pack()
        self._write_pack(pack, contents.values())
        with self._undone(pack), self._database.writing() as connection:
            source = _add_source(connection, pack, sum(map(len, contents.values())))
            rows = [(bytes.fromhex(d), start, size, source) for d, start, size in _ranges(contents)]
            insert = "INSERT OR IGNORE INTO object (digest, start, size, source) VALUES (?, ?, ?, ?)"
            connection.executemany(insert, sorted(rows))
            _count_live(connection, source)
            came_meanwhile = _is_sparse(connection, source)
        if came_meanwhile:
            self._tidy(source)

    def add_pieces(self, digest: str, pieces: Sequence[Piece], pack: str, chunks: bytes) -> bool:
        """Keep an object as pieces of sources that are there; `chunks` lists those of the new pack among them.

        False, and nothing done, when a source has gone meanwhile, or the object has come.
        """
        names = {piece.source for piece in pieces}
        with self._undone(pack), self._database.writing() as connection:
            if _has(connection, digest) or not all(self._layout.find(name) for name in names):
                return False
            sources = {name: self._source(connection, name, chunks if name == pack else None) for name in names}
            insert = "INSERT INTO object (digest, size) VALUES (?, ?)"
            size = sum(piece.length for piece in pieces)
            id = connection.execute(insert, (bytes.fromhex(digest), size)).lastrowid
            rows = [(id, at, sources[p.source], p.start, p.length) for at, p in enumerate(pieces)]
            connection.executemany("INSERT INTO piece VALUES (?, ?, ?, ?, ?)", rows)
        return True

    def chunking(self) -> Chunking:
        """How this store cuts, decided once and for all when it was made."""
        with self._database.writing(durable=False) as connection:
            return Chunking(*connection.execute("SELECT least, average, most FROM chunking").fetchone())

    def chunks(self, source: str) -> bytes | None:
        """The list of chunks of a source, where it is known."""
        with self._database.reading() as connection:
            found = connection.execute("SELECT chunks FROM source WHERE name = ?", (source,)).fetchone()
        return found[0] if found else None

    def keep_chunks(self, source: str, chunks: bytes) -> None:
        """Remember the list of chunks of a source, so that it need not be read again."""
        with self._database.writing(durable=False) as connection:
            if self._layout.find(source):
                id = self._source(connection, source, None)
                connection.execute("UPDATE source SET chunks = ? WHERE id = ?", (chunks, id))

    def delete(self, digest: str) -> None:
        """Forget an object, and give back the room of what nothing needs any more."""
        if not self._database.exists():
            return
        with self._database.writing(durable=False) as connection:
            select = "SELECT id, size, source FROM object WHERE digest = ?"
            row = connection.execute(select, (bytes.fromhex(digest),)).fetchone()
            if row is None:
                return
            id, size, source = row
            pieces = connection.execute("SELECT DISTINCT source FROM piece WHERE object = ?", (id,)).fetchall()
            connection.execute("DELETE FROM piece WHERE object = ?", (id,))
            connection.execute("DELETE FROM object WHERE id = ?", (id,))
            connection.execute("UPDATE source SET live = live - ? WHERE id = ?", (size, source))
            sparse = [id for (id,) in [*pieces, (source,)] if id is not None and _is_sparse(connection, id)]
        for id in sparse:
            self._tidy(id)

    def delete_file(self, digest: str) -> None:
        """Forget an object that is a file; its bytes stay as long as others are made of them. OSError if refused."""
        place = self._layout.object(digest)
        with self._database.writing(durable=False) as connection:
            source = connection.execute("SELECT id FROM source WHERE name = ?", (digest,)).fetchone()
            if source and _is_in_pieces(connection, source[0]):
                self._layout.packs.mkdir(exist_ok=True)
                os.replace(place, self._layout.pack(digest))
            else:
                place.unlink(missing_ok=True)
                connection.execute("DELETE FROM source WHERE name = ?", (digest,))

    def drop_copy(self, digest: str) -> None:
        """Give back the room of a pack that is an object again, put anew as a file."""
        if self._layout.pack(digest).exists():
            with self._database.writing(durable=False):  # so that nobody deletes the object meanwhile
                if self._layout.object(digest).is_file():
                    self._layout.pack(digest).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Clear what killed writers and deleters left."""
        if not self._database.exists():
            return
        with self._database.reading() as connection:
            sources = dict(connection.execute("SELECT name, id FROM source").fetchall())
            sparse = [name for name, id in sources.items() if _is_sparse(connection, id)]
        sweep(self._layout.packs)
        for name in sparse:
            if self._layout.pack(name).exists():
                self._tidy(sources[name])
        for pack in self._layout.packs.glob("[!.]*"):
            if pack.name not in sources and time.time() - pack.stat().st_ctime > _GRACE:
                pack.unlink(missing_ok=True)

    def _tidy(self, id: int) -> None:
        """Delete a source that nothing needs, or pack anew the little that is still needed of it."""
        self._database.sync()  # what needed it must not come back after a cut of power
        with self._database.writing() as connection:
            if not _is_sparse(connection, id):
                return
            (name,) = connection.execute("SELECT name FROM source WHERE id = ?", (id,)).fetchone()
            if not self._move(connection, id, name):
                return
            connection.execute("DELETE FROM source WHERE id = ?", (id,))
            if is_digest(name):  # once we let go, an object that is deleted may become a pack of this name
                self._layout.pack(name).unlink(missing_ok=True)
        if not is_digest(name):  # only now: if we are killed before, what was moved is still in its old place
            self._layout.pack(name).unlink(missing_ok=True)

    def _move(self, connection: Connection, id: int, name: str) -> bool:
        """Move what small objects still have in a pack into a new one; False when it cannot be read."""
        select = "SELECT digest, start, size FROM object WHERE source = ? ORDER BY start"
        rows = connection.execute(select, (id,)).fetchall()
        if not rows:
            return True
        try:
            contents = {digest.hex(): self._layout.read(Piece(name, start, size)) for digest, start, size in rows}
        except DamagedObject:
            return False
        pack = self._layout.new_pack()
        self._write_pack(pack, contents.values())
        new = _add_source(connection, pack, sum(map(len, contents.values())))
        moved = [(new, start, bytes.fromhex(digest)) for digest, start, _ in _ranges(contents)]
        connection.executemany("UPDATE object SET source = ?, start = ? WHERE digest = ?", moved)
        _count_live(connection, new)
        return True

    @contextmanager
    def _undone(self, pack: str) -> Iterator[None]:
        """Give back the room of a pack that, the disk being full, is not written down in the database.

        After any other failure it stays until it is swept: a commit that is told to have failed
        may be found done after a crash.
        """
        try:
            yield
        except DiskFull:
            self._layout.pack(pack).unlink(missing_ok=True)
            raise

    def _write_pack(self, pack: str, contents: Collection[bytes]) -> None:
        write_file(self._layout.pack(pack), lambda file: file.writelines(contents), mode=READ_ONLY)

    def _source(self, connection: Connection, name: str, chunks: bytes | None) -> int:
        if found := connection.execute("SELECT id FROM source WHERE name = ?", (name,)).fetchone():
            return int(found[0])
        place = self._layout.find(name)
        return _add_source(connection, name, place.stat().st_size if place else 0, chunks)


def _has(connection: Connection, digest: str) -> bool:
    select = "SELECT 1 FROM object WHERE digest = ?"
    return connection.execute(select, (bytes.fromhex(digest),)).fetchone() is not None


def _ranges(contents: Mapping[str, bytes]) -> Iterator[tuple[str, int, int]]:
    """Digest, start and size of contents laid one after the other."""
    starts = accumulate(map(len, contents.values()), initial=0)
    return ((digest, start, len(content)) for (digest, content), start in zip(contents.items(), starts, strict=False))


def _add_source(connection: Connection, name: str, size: int, chunks: bytes | None = None) -> int:
    insert = "INSERT INTO source (name, size, live, chunks) VALUES (?, ?, 0, ?)"
    id = connection.execute(insert, (name, size, chunks)).lastrowid
    assert id is not None
    return id


def _count_live(connection: Connection, source: int) -> None:
    total = "(SELECT coalesce(sum(size), 0) FROM object WHERE source = ?)"
    connection.execute(f"UPDATE source SET live = {total} WHERE id = ?", (source, source))


def _is_in_pieces(connection: Connection, source: int) -> bool:
    return connection.execute("SELECT 1 FROM piece WHERE source = ? LIMIT 1", (source,)).fetchone() is not None


def _is_sparse(connection: Connection, source: int) -> bool:
    """Whether less than half of a source is needed by small objects, and nothing of it by others."""
    row = connection.execute("SELECT size, live FROM source WHERE id = ?", (source,)).fetchone()
    return row is not None and row[1] * 2 <= row[0] and not _is_in_pieces(connection, source)
