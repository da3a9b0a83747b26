"""What a store holds that are not files of their own: small objects, and objects put together from ranges."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from keepfit.core.errors import DamagedObject, StoreError
from keepfit.core.files import append_file, sweep
from keepfit.core.sqlite import Connection, Database, DiskFull
from keepfit.objects.fastcdc import Chunking
from keepfit.objects.layout import Layout, is_digest
from keepfit.objects.pack import HEAD, NEW, SMALL, Small, lay_out, read_recipe, read_small
from keepfit.objects.piece import Piece

_APPLICATION = 0x6B666F62
"""`kfob`, in the header of the file."""
_PAGE = 1000
_MEND = "keepfit verify --repair"
_GRACE = 3600.0
"""Seconds that a new pack may take to be written down in the database."""
_FULL = 1 << 25
"""Bytes from which a pack of small objects is added to no more."""
_LITTLE = 1 << 20
"""Bytes of a pack of small objects that are not worth giving back."""
READ_ONLY = 0o444

_SCHEMA = (
    """CREATE TABLE source (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
    live INTEGER NOT NULL,  -- bytes that small objects have in it, with what is written in front of each
    chunks BLOB)""",
    """CREATE TABLE object (
    id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    content BLOB, source INTEGER, start INTEGER)  -- where its bytes are, or neither: see its pieces
    -- (early versions kept the bytes of some in `content`)""",
    "CREATE INDEX object_source ON object (source) WHERE source IS NOT NULL",
    """CREATE TABLE piece (
    object INTEGER NOT NULL, at INTEGER NOT NULL, source INTEGER NOT NULL, start INTEGER NOT NULL,
    length INTEGER NOT NULL, PRIMARY KEY (object, at)) WITHOUT ROWID""",
    "CREATE INDEX piece_source ON piece (source)",
    "CREATE TABLE chunking (least INTEGER NOT NULL, average INTEGER NOT NULL, most INTEGER NOT NULL)",
    f"INSERT INTO chunking VALUES {tuple(Chunking())}",
)


class _Pack(NamedTuple):
    id: int
    name: str
    size: int


class Index:
    """The database of the store in `layout`, made at the first write.

    Every method raises DamagedObject when the database is lost or damaged: `mend` makes it anew.
    """

    def __init__(self, layout: Layout, path: Path | None = None) -> None:
        self._layout = layout
        self.path = path or layout.path / "objects.db"
        self._database = Database(
            self.path,
            what="the store of objects",
            application=_APPLICATION,
            version=1,
            schema=_SCHEMA,
            mend=_MEND,
        )
        self._caught_up = False

    def find(self, digest: str) -> bytes | list[Piece] | None:
        """The bytes of an object, or what it is put together from; None when it is not here."""
        if not self._is_there():
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
        if not self._is_there():
            return set()
        with self._database.reading() as connection:
            return {digest for digest in digests if _has(connection, digest)}

    def list(self) -> Iterator[str]:
        """All digests, in the order they came, which is about that of their bytes on the disk."""
        last = 0
        while self._is_there():
            with self._database.reading() as connection:  # let go of before anyone acts on what was found
                select = "SELECT id, hex(digest) FROM object WHERE id > ? ORDER BY id LIMIT ?"
                page = connection.execute(select, (last, _PAGE)).fetchall()
            if not page:
                return
            last = page[-1][0]
            yield from (digest.lower() for _, digest in page)

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Keep the bytes of small objects at the end of the open pack.

        The pack is durable at once. After a cut of power the database may be behind; `_catch_up` sees to that.
        """
        while True:
            with self._writing(durable=False) as connection:
                if pack := _open_pack(connection):
                    _insert_small(connection, pack.id, self._append(connection, pack, contents))
                    return
            with self._writing() as connection:  # that there is such a pack must be known for good first
                if not _open_pack(connection):
                    _add_source(connection, self._layout.new_pack(SMALL), 0)

    def add_pieces(self, digest: str, pieces: Sequence[Piece], pack: str, chunks: bytes) -> bool:
        """Keep an object as pieces of sources that are there; `chunks` lists those of the new pack among them.

        False, and nothing done, when a source has gone meanwhile, or the object has come.
        """
        with self._undone(pack), self._writing() as connection:
            return self._insert_pieces(connection, digest, pieces, pack, chunks)

    def check(self) -> None:
        """Look at all of the database; DamagedObject when it is lost or damaged."""
        if self._is_there():
            with self._database.reading() as connection:
                ((said, *_), *_) = connection.execute("PRAGMA quick_check(1)").fetchall()
            if said != "ok":
                raise DamagedObject(f"the index of the store of objects is damaged: {said}", hint=_MEND)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def lists(self, source: str) -> bool:
        """Whether this source is written down."""
        with self._database.reading() as connection:
            return connection.execute("SELECT 1 FROM source WHERE name = ?", (source,)).fetchone() is not None

    def adopt(self, packs: Iterable[Path]) -> None:
        """Write down what packs say of themselves; OSError when one cannot be read."""
        recipes = []
        with self._database.writing() as connection:
            for pack in packs:
                if not pack.name.startswith(SMALL):
                    recipes.append((read_recipe(pack), pack.name))
                elif not connection.execute("SELECT 1 FROM source WHERE name = ?", (pack.name,)).fetchone():
                    self._adopt_small(connection, _Pack(_add_source(connection, pack.name, 0), pack.name, 0))
            for found, name in recipes:
                if found:
                    self._insert_pieces(connection, *found, name, None)

    def chunking(self) -> Chunking:
        """How this store cuts, decided once and for all when it was made."""
        with self._writing(durable=False) as connection:
            return Chunking(*connection.execute("SELECT least, average, most FROM chunking").fetchone())

    def chunks(self, source: str) -> bytes | None:
        """The list of chunks of a source, where it is known."""
        if not self._is_there():
            return None
        with self._database.reading() as connection:
            found = connection.execute("SELECT chunks FROM source WHERE name = ?", (source,)).fetchone()
        return found[0] if found else None

    def keep_chunks(self, source: str, chunks: bytes) -> None:
        """Remember the list of chunks of a source, so that it need not be read again."""
        with self._writing(durable=False) as connection:
            if self._layout.find(source):
                id = self._source(connection, source, None)
                connection.execute("UPDATE source SET chunks = ? WHERE id = ?", (chunks, id))

    def delete(self, digest: str) -> None:
        """Forget an object, and give back the room of what nothing needs any more."""
        if not self._is_there():
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
            connection.execute("UPDATE source SET live = live - ? WHERE id = ?", (HEAD + size, source))
            sparse = [id for (id,) in [*pieces, (source,)] if id is not None and _is_sparse(connection, id)]
        for id in sparse:
            self._tidy(id)

    def delete_file(self, digest: str) -> None:
        """Forget an object that is a file; its bytes stay as long as others are made of them. OSError if refused."""
        place = self._layout.object(digest)
        with self._writing(durable=False) as connection:
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
            with self._writing(durable=False):  # so that nobody deletes the object meanwhile
                if self._layout.object(digest).is_file():
                    self._layout.pack(digest).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Clear what killed writers and deleters left."""
        if not self._is_there():
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
                self._sweep_pack(pack)

    def _sweep_pack(self, pack: Path) -> None:
        """Adopt a pack that the database does not list, or give back its room when nothing in it can be needed."""
        if not (pack.name.startswith((SMALL, NEW)) or is_digest(pack.name)):
            return  # of an early version: another database may list it
        self.adopt([pack])
        found = read_recipe(pack) if pack.name.startswith(NEW) else None
        with self._database.writing() as connection:
            source = connection.execute("SELECT id, live FROM source WHERE name = ?", (pack.name,)).fetchone()
            if source and not source[1] and not _is_in_pieces(connection, source[0]):
                connection.execute("DELETE FROM source WHERE id = ?", source[:1])
                source = None
            if source is None and not (found and not _has(connection, found[0])):  # else a source of it may come back
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
        """Move what small objects still have in a pack into another; False when it cannot be read."""
        select = "SELECT digest, start, size FROM object WHERE source = ? ORDER BY start"
        rows = connection.execute(select, (id,)).fetchall()
        if not rows:
            return True
        try:
            contents = {digest.hex(): self._layout.read(Piece(name, start, size)) for digest, start, size in rows}
        except DamagedObject:
            return False
        pack = _open_pack(connection, but=id)
        if pack is None:
            new = self._layout.new_pack(SMALL)
            pack = _Pack(_add_source(connection, new, 0), new, 0)
        moved = [(pack.id, start, digest) for digest, start, _ in self._append(connection, pack, contents)]
        connection.executemany("UPDATE object SET source = ?, start = ? WHERE digest = ?", moved)
        _count_live(connection, pack.id)
        return True

    def _insert_pieces(
        self, connection: Connection, digest: str, pieces: Sequence[Piece], pack: str, chunks: bytes | None
    ) -> bool:
        names = {piece.source for piece in pieces}
        if _has(connection, digest) or not all(self._layout.find(name) for name in names):
            return False
        sources = {name: self._source(connection, name, chunks if name == pack else None) for name in names}
        insert = "INSERT INTO object (digest, size) VALUES (?, ?)"
        size = sum(piece.length for piece in pieces)
        id = connection.execute(insert, (bytes.fromhex(digest), size)).lastrowid
        rows = [(id, at, sources[p.source], p.start, p.length) for at, p in enumerate(pieces)]
        connection.executemany("INSERT INTO piece VALUES (?, ?, ?, ?, ?)", rows)
        return True

    def _append(self, connection: Connection, pack: _Pack, contents: Mapping[str, bytes]) -> Sequence[Small]:
        """Write small objects at the end of a pack, durably; gives digest, start and size of each."""
        append_file(self._layout.pack(pack.name), pack.size, lay_out(contents))
        ends = list(accumulate((HEAD + len(content) for content in contents.values()), initial=pack.size))
        connection.execute("UPDATE source SET size = ? WHERE id = ?", (ends[-1], pack.id))
        return [
            (bytes.fromhex(digest), end + HEAD, len(content))
            for (digest, content), end in zip(contents.items(), ends, strict=False)
        ]

    def _writing(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        self._is_there()
        return self._database.writing(durable=durable)

    def _is_there(self) -> bool:
        """Whether anything has been written; DamagedObject when only the database of it is gone."""
        if not self._database.size():
            packs = any(self._layout.packs.glob("[!.]*"))
            if packs and not self._database.size():  # looked at again: another may have made both meanwhile
                message = f"the index of the store of objects, `{self.path.name}`, is lost; its packs are there"
                raise DamagedObject(message, where=str(self._layout.path), hint=_MEND)
            return False
        if not self._caught_up:
            with suppress(StoreError):  # a disk that cannot be written
                self._catch_up()
            self._caught_up = True
        return True

    def _catch_up(self) -> None:
        """Write down what has been added to the open pack, and was not in the database yet when the power was cut."""

        def behind(connection: Connection) -> _Pack | None:
            pack = _open_pack(connection)
            place = pack and self._layout.pack(pack.name)
            return pack if pack and place and place.exists() and place.stat().st_size > pack.size else None

        with self._database.reading() as connection:
            if not behind(connection):
                return
        with self._database.writing(durable=False) as connection:
            if pack := behind(connection):  # no: whoever was adding to it just now has written it down
                self._adopt_small(connection, pack)

    def _adopt_small(self, connection: Connection, pack: _Pack) -> None:
        """Write down the small objects in a pack behind those that are known."""
        found = list(read_small(self._layout.pack(pack.name), pack.size))
        _insert_small(connection, pack.id, found)
        size = max((start + size for _, start, size in found), default=pack.size)
        connection.execute("UPDATE source SET size = ? WHERE id = ?", (size, pack.id))

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

    def _source(self, connection: Connection, name: str, chunks: bytes | None) -> int:
        if found := connection.execute("SELECT id FROM source WHERE name = ?", (name,)).fetchone():
            return int(found[0])
        place = self._layout.find(name)
        return _add_source(connection, name, place.stat().st_size if place else 0, chunks)


def _has(connection: Connection, digest: str) -> bool:
    select = "SELECT 1 FROM object WHERE digest = ?"
    return connection.execute(select, (bytes.fromhex(digest),)).fetchone() is not None


def _open_pack(connection: Connection, *, but: int = 0) -> _Pack | None:
    """The pack that small objects are added to."""
    select = "SELECT id, name, size FROM source WHERE +name BETWEEN ? AND ? AND id != ? ORDER BY id DESC LIMIT 1"
    found = connection.execute(select, (SMALL, f"{SMALL}~", but)).fetchone()
    return _Pack(*found) if found and found[2] < _FULL else None


def _insert_small(connection: Connection, source: int, found: Sequence[Small]) -> None:
    insert = f"INSERT OR IGNORE INTO object (digest, start, size, source) VALUES (?, ?, ?, {source})"
    if connection.executemany(insert, sorted(found)).rowcount == len(found):
        much = sum(HEAD + size for _, _, size in found)
        connection.execute("UPDATE source SET live = live + ? WHERE id = ?", (much, source))
    else:  # some came meanwhile
        _count_live(connection, source)


def _add_source(connection: Connection, name: str, size: int, chunks: bytes | None = None) -> int:
    insert = "INSERT INTO source (name, size, live, chunks) VALUES (?, ?, 0, ?)"
    id = connection.execute(insert, (name, size, chunks)).lastrowid
    assert id is not None
    return id


def _count_live(connection: Connection, source: int) -> None:
    total = f"(SELECT coalesce(sum(size + {HEAD}), 0) FROM object WHERE source = ?)"
    connection.execute(f"UPDATE source SET live = {total} WHERE id = ?", (source, source))


def _is_in_pieces(connection: Connection, source: int) -> bool:
    return connection.execute("SELECT 1 FROM piece WHERE source = ? LIMIT 1", (source,)).fetchone() is not None


def _is_sparse(connection: Connection, source: int) -> bool:
    """Whether less than half of a source is needed by small objects, and nothing of it by others."""
    row = connection.execute("SELECT size, live, name FROM source WHERE id = ?", (source,)).fetchone()
    if row is None or (row[2].startswith(SMALL) and row[0] < _LITTLE):
        return False
    return row[1] * 2 <= row[0] and not _is_in_pieces(connection, source)
