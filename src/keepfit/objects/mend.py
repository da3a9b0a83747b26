"""The index of a store, lost or damaged, made anew from the packs themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import DamagedObject
from keepfit.core.files import make_folder, move_file, write_file
from keepfit.core.sqlite import salvage
from keepfit.objects.index import READ_ONLY, Index
from keepfit.objects.layout import Layout, is_digest
from keepfit.objects.pack import NEW, recipe
from keepfit.objects.piece import Piece

_AT_ONCE = 1 << 25
_BESIDE = ("", "-wal", "-shm")
_SELECT = """SELECT object.id, hex(digest), object.size, content, source.name, start,
    (SELECT json_group_array(json_array(name, start, length)) FROM
        (SELECT name, start, length FROM piece JOIN source ON source.id = source WHERE object = object.id ORDER BY at))
    FROM object LEFT JOIN source ON source.id = source WHERE object.id > ?"""


def mend(layout: Layout) -> int | None:
    """Make the index of a store anew, unless it is whole; gives how many objects it lists then.

    What was deleted since a pack was written may be there again. The damaged database is kept, as
    `objects.db.damaged`; of what early versions kept there alone, all that can be read is saved.
    Nobody may write to the store meanwhile. Killed anywhere, it can be run again. StoreError
    when the disk refuses.
    """
    path = layout.path / "objects.db"
    with suppress(DamagedObject):
        (index := Index(layout)).check()
        return None
    index.close()
    damaged, part = Path(f"{path}.damaged"), layout.path / ".part-objects.db"
    if path.exists() and path.stat().st_size:
        for end in reversed(_BESIDE):
            if (file := Path(f"{path}{end}")).exists():
                move_file(file, Path(f"{damaged}{end}"))
            else:
                Path(f"{damaged}{end}").unlink(missing_ok=True)
    for end in _BESIDE:
        Path(f"{part}{end}").unlink(missing_ok=True)
    index = Index(layout, part)
    packs = sorted(layout.packs.glob("[!.]*"))
    index.adopt(packs)
    _save(layout, index, damaged)
    for pack in packs:
        if is_digest(pack.name) and not index.lists(pack.name):  # an object that was deleted: nothing is made of it
            make_folder(layout.object(pack.name).parent)
            move_file(pack, layout.object(pack.name))
    found = sum(1 for _ in index.list())
    index.close()
    move_file(part, path)
    return found


def _save(layout: Layout, index: Index, damaged: Path) -> None:
    """Write down what only the damaged database knows."""
    if not damaged.exists():
        return
    contents: dict[str, bytes] = {}
    recipes = list[Path]()
    for digest, content, pieces in _rows(damaged):
        if not is_digest(digest) or index.known([digest]):
            continue
        if content is None and len(pieces) == 1 and not is_digest(pieces[0].source):
            with suppress(DamagedObject):
                content = layout.read(pieces[0])
        elif content is None:
            recipes.append(layout.pack(layout.new_pack(NEW)))
            write_file(recipes[-1], recipe(digest, [*pieces, Piece(recipes[-1].name, 0, 0)]), mode=READ_ONLY)
        if content is not None and digest_bytes(content) == digest:
            contents[digest] = content
        if sum(map(len, contents.values())) > _AT_ONCE:
            index.add(contents)
            contents = {}
    if contents:
        index.add(contents)
    index.adopt(recipes)


def _rows(damaged: Path) -> Iterator[tuple[str, bytes | None, list[Piece]]]:
    for _, digest, size, content, source, start, pieces in salvage(damaged, _SELECT):
        with suppress(msgspec.MsgspecError):
            found = [Piece(source, start, size)] if source else msgspec.json.decode(pieces, type=list[Piece])
            yield digest.lower(), content, found
