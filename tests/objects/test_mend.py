"""A store whose index is lost or damaged is found again in its packs."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import DamagedObject
from keepfit.core.sqlite import Database
from keepfit.objects import is_whole, read
from keepfit.objects.folder import Folder
from keepfit.objects.index import Index

MEGABYTE = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


def database(folder: Path) -> list[Path]:
    return list(folder.glob("objects.db*"))


def lose(folder: Path) -> None:
    for path in database(folder):
        path.unlink()


def overwrite(folder: Path) -> None:
    for path in database(folder):
        path.write_bytes(b"no database at all")


def empty(folder: Path) -> None:
    for path in database(folder):
        os.truncate(path, 0)


def versions(objects: Folder, source: Path) -> dict[str, bytes]:
    """A large object and two made of pieces of it, of which the second adds nothing new."""
    first = random.Random(1).randbytes(5 * MEGABYTE)
    found, like = dict[str, bytes](), None
    for content in (first, first[:MEGABYTE] + b"new" + first[MEGABYTE:], first * 2):
        source.write_bytes(content)
        like = objects.put(source, like=like)
        found[like] = content
    assert [objects.file(digest) is None for digest in found] == [False, True, True]
    return found


@pytest.mark.parametrize("harm", [lose, overwrite, empty])
def test_all_is_found_again(folder: Path, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    objects = Folder(folder)
    assert objects.mend() is None
    there = versions(objects, tmp_path / "source")
    for content in (b"", b"small", bytes(300_000), bytes(MEGABYTE)):
        there[objects.put(content)] = content
    assert objects.mend() is None
    harm(folder)
    objects = Folder(folder)
    for act in (lambda: objects.put(b"other"), lambda: list(objects.list()), lambda: objects.has(digest_bytes(b"a"))):
        with pytest.raises(DamagedObject) as caught:
            act()
        assert caught.value.hint == "keepfit verify --repair"
    assert objects.mend() == 5
    assert objects.mend() is None
    assert sorted(objects.list()) == sorted(there)
    assert all(read(Folder(folder), digest) == content for digest, content in there.items())
    there[objects.put(b"other")] = b"other"
    for digest in there:
        objects.delete(digest)
    assert list(objects.list()) == []
    assert sum(path.stat().st_size for path in folder.glob("packs/*")) < MEGABYTE


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_after_any_puts_and_deletes_nothing_is_missing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("store")
    objects, there, ever = Folder(folder / "objects"), dict[str, bytes](), set[str]()
    chance = random.Random(data.draw(st.integers(0, 99)))
    large = chance.randbytes(5 * MEGABYTE)
    for _ in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["put", "put", "like", "delete", "lose"])):
            case "put":
                put = [chance.randbytes(chance.choice([0, 10, 5000, 400_000])) for _ in range(chance.randrange(1, 9))]
                there |= zip(objects.put_all(put), put, strict=True)
            case "like":
                at = chance.randrange(len(large))
                large = large[:at] + chance.randbytes(chance.choice([0, 1, 70_000])) + large[at:]
                (folder / "source").write_bytes(large)
                like = data.draw(st.sampled_from(sorted(there))) if there else None
                there[objects.put(folder / "source", like=like)] = large
            case "delete":
                for digest in chance.sample(sorted(there), len(there) // 2):
                    objects.delete(digest)
                    del there[digest]
            case "lose":
                lose(folder / "objects")
                objects.mend()
        ever |= set(there)
    lose(folder / "objects")
    objects = Folder(folder / "objects")
    objects.mend()
    found = set(objects.list())
    assert set(there) <= found <= ever
    assert all(is_whole(objects, digest) for digest in found)
    assert all(read(objects, digest) == content for digest, content in there.items())


def test_a_torn_or_damaged_pack_costs_only_what_was_there(folder: Path) -> None:
    contents = [os.urandom(1000) for _ in range(20)]
    digests = Folder(folder).put_all(contents)
    (pack,) = folder.glob("packs/*")
    lose(folder)
    with pack.open("r+b") as file:
        file.seek(3 * 1040 + 500)  # in the fourth; the heads are of 40 bytes
        file.write(b"damaged")
        file.seek(7 * 1040 + 10)  # in the head of the eighth
        file.write(b"damaged")
        file.truncate(19 * 1040 + 700)
    objects = Folder(folder)
    assert objects.mend() == 17
    lost = {digests[3], digests[7], digests[19]}
    assert set(objects.list()) == set(digests) - lost
    assert objects.put_all(contents) == digests
    lose(folder)
    objects = Folder(folder)
    assert objects.mend() == 20
    assert all(is_whole(objects, digest) for digest in digests)


def test_what_the_power_kept_from_the_database_is_found_at_the_next_opening(folder: Path, tmp_path: Path) -> None:
    objects = Folder(folder)
    first = objects.put(b"first")
    objects._index.close()
    for path in database(folder):
        shutil.copy(path, tmp_path)
    objects = Folder(folder)
    second = objects.put_all([b"second", b"third"])
    objects._index.close()
    lose(folder)
    for path in tmp_path.glob("objects.db*"):
        shutil.copy(path, folder)
    objects = Folder(folder)
    assert objects.has(second[0])
    assert sorted(objects.list()) == sorted([first, *second])
    fourth = objects.put(b"fourth")
    assert [read(objects, digest) for digest in (first, *second, fourth)] == [b"first", b"second", b"third", b"fourth"]


def test_a_pack_that_an_older_copy_of_the_index_does_not_list_is_adopted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepfit.objects.index._GRACE", -1)
    objects = Folder(folder)
    objects.put(b"first")
    objects._index.close()
    for path in database(folder):
        shutil.copy(path, tmp_path)
    objects = Folder(folder)
    monkeypatch.setattr("keepfit.objects.index._FULL", 1)
    there = versions(objects, tmp_path / "source")
    second = objects.put(b"second")
    objects._index.close()
    lose(folder)
    for path in tmp_path.glob("objects.db*"):
        shutil.copy(path, folder)
    objects = Folder(folder)
    list(objects.list())
    assert set(objects.list()) == {digest_bytes(b"first"), second, *there}
    assert all(is_whole(objects, digest) for digest in objects.list())


def test_a_mending_that_was_killed_is_done_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = Folder(folder).put_all([b"one", b"two"])
    overwrite(folder)

    def die(self: Index) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Index, "list", die)
        with pytest.raises(KeyboardInterrupt):
            Folder(folder).mend()
    with pytest.raises(DamagedObject, match="lost"):
        Folder(folder).has(digests[0])
    objects = Folder(folder)
    assert objects.mend() == 2
    assert sorted(objects.list()) == sorted(digests)


def test_a_store_that_is_in_use_goes_on_with_the_new_index(folder: Path) -> None:
    user = Folder(folder)
    first = user.put(b"first")
    lose(folder)
    Folder(folder).mend()
    second = user.put(b"second")
    assert sorted(Folder(folder).list()) == sorted([first, second])


def test_of_an_early_version_what_the_database_still_tells_is_saved(folder: Path, tmp_path: Path) -> None:
    objects = Folder(folder)
    there = versions(objects, tmp_path / "source")
    for content in (b"inside", b"in a pack", b"too"):
        there[objects.put(content)] = content
    make_early(folder, objects)
    objects = Folder(folder)
    assert {digest: read(Folder(folder), digest) for digest in objects.list()} == there
    with sqlite3.connect(folder / "objects.db") as connection:
        connection.execute("PRAGMA application_id = 1")  # as if its first page were damaged
    connection.close()
    objects = Folder(folder)
    assert objects.mend() == 5
    for _ in range(2):
        assert {digest: read(objects, digest) for digest in objects.list()} == there
        lose(folder)
        objects = Folder(folder)
        objects.mend()


def make_early(folder: Path, objects: Folder) -> None:
    """Packs that say nothing of themselves, some bytes in the database alone."""
    objects._index.close()
    with sqlite3.connect(folder / "objects.db") as connection:
        inside = (b"inside", bytes.fromhex(digest_bytes(b"inside")))
        connection.execute("UPDATE object SET content = ?, source = NULL, start = NULL WHERE digest = ?", inside)
        for number, (name,) in enumerate(connection.execute("SELECT name FROM source").fetchall()):
            if (pack := folder / "packs" / name).exists():
                content = pack.read_bytes()
                early = pack.rename(pack.with_name(f"{number:032x}"))
                early.chmod(0o644)
                if name.startswith("new-"):  # without its recipe
                    *_, length = (int.from_bytes(content[-36:-32], "little"),)
                    early.write_bytes(content[: -40 - length])
                else:
                    early.write_bytes(content.replace(b"kfo1", b"????"))
                connection.execute("UPDATE source SET name = ? WHERE name = ?", (early.name, name))
    connection.close()


def test_a_store_that_others_begin_at_this_moment_is_not_taken_for_one_without_its_index(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, size = Folder(folder), Database.size

    def others_first(database: Database) -> int:
        monkeypatch.setattr(Database, "size", size)
        found = database.size()
        begun.put(b"theirs")
        return found

    monkeypatch.setattr(Database, "size", others_first)
    assert not Folder(folder).has(digest_bytes(b"none"))
