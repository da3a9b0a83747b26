import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import DamagedObject, StoreError, UsageError
from keepfit.objects import is_whole, open_objects, read
from keepfit.objects.folder import Folder
from keepfit.objects.pack import read_small
from keepfit.testing import workers
from keepfit.testing.disks import disk, fill, read_only, small_disk
from keepfit.testing.faults import FAULTS, strike
from keepfit.testing.objects import ObjectsSuite

MEGABYTE = 1 << 20
LARGE = bytes(range(256)) * 5000
SMALL = [bytes([n]) * 50_000 for n in range(40)]


class TestFolder(ObjectsSuite):
    url = "folder:objects"


@pytest.fixture
def objects(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "objects")


def place(tmp_path: Path, digest: str) -> Path:
    return tmp_path / "objects" / digest[:2] / digest[2:]


def packs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "objects" / "packs").glob("*"))


def small_in(pack: Path) -> list[bytes]:
    content = pack.read_bytes()
    return [content[start : start + size] for _, start, size in read_small(pack)]


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def damage(path: Path, at: int = 0, *, much: int = 1) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(much)
        file.seek(at)
        file.write(bytes(byte ^ 1 for byte in old))


def put_file(objects: Folder, path: Path, content: bytes, *, like: str | None = None) -> str:
    path.write_bytes(content)
    return objects.put(path, like=like)


# where things are


def test_a_large_object_is_a_read_only_file_named_after_its_digest(objects: Folder, tmp_path: Path) -> None:
    path = place(tmp_path, objects.put(LARGE))
    assert path.read_bytes() == LARGE
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert objects.file(digest_bytes(LARGE)) == path


def test_small_objects_are_together_in_a_pack(objects: Folder, tmp_path: Path) -> None:
    assert objects.file(objects.put(b"content")) is None
    objects.put_all(SMALL)
    (pack,) = packs(tmp_path)
    assert small_in(pack) == [b"content", *SMALL]


def test_opening_makes_nothing(tmp_path: Path) -> None:
    store = open_objects("folder:objects", tmp_path)
    assert list(store.list()) == []
    store.delete(digest_bytes(b""))
    assert not (tmp_path / "objects").exists()


def test_storing_again_writes_nothing(objects: Folder, tmp_path: Path) -> None:
    def state() -> dict[Path, os.stat_result]:
        return {p: p.stat() for p in (tmp_path / "objects").rglob("*") if not p.name.endswith("-shm")}

    digest = put_file(objects, tmp_path / "source", LARGE)
    small = objects.put_all([b"content", *SMALL])
    before = state()
    assert objects.put(tmp_path / "source") == objects.put(LARGE) == digest
    assert objects.put_all([b"content", *SMALL]) == small
    assert {path: (s.st_size, s.st_mtime_ns) for path, s in state().items()} == {
        path: (s.st_size, s.st_mtime_ns) for path, s in before.items()
    }


def test_many_are_held_in_memory_only_in_part(objects: Folder, tmp_path: Path) -> None:
    objects.put_all(os.urandom(MEGABYTE - 1) for _ in range(70))
    assert len(packs(tmp_path)) == 3
    assert max(pack.stat().st_size for pack in packs(tmp_path)) <= 34 * MEGABYTE


def test_a_store_of_loose_small_objects_still_works(objects: Folder, tmp_path: Path) -> None:
    digest, path = digest_bytes(b"old"), place(tmp_path, digest_bytes(b"old"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    assert objects.has(digest)
    assert objects.put(b"old") == digest
    assert objects.put_all([b"old", b"new"])[0] == digest
    assert sorted(objects.list()) == sorted([digest, digest_bytes(b"new")])
    assert read(objects, digest) == b"old"
    objects.delete(digest)
    assert list(objects.list()) == [digest_bytes(b"new")]
    assert not path.exists()


def test_a_store_that_was_deleted_meanwhile_is_made_again(objects: Folder, tmp_path: Path) -> None:
    objects.put(b"gone")
    shutil.rmtree(tmp_path / "objects")
    assert list(objects.list()) == []
    assert not objects.has(digest_bytes(b"gone"))
    assert read(Folder(tmp_path / "objects"), objects.put(b"content")) == b"content"


# room


def test_the_room_of_deleted_objects_is_given_back(objects: Folder, tmp_path: Path) -> None:
    digests = objects.put_all(SMALL)
    (old,) = packs(tmp_path)
    for digest in digests[:25]:
        objects.delete(digest)
    (new,) = packs(tmp_path)
    assert new != old
    assert small_in(new) == SMALL[20:]
    assert [read(objects, digest) for digest in digests[25:]] == SMALL[25:]
    for digest in digests[25:]:
        objects.delete(digest)
    assert bytes_in(tmp_path / "objects" / "packs") <= MEGABYTE


def test_only_what_is_new_in_a_later_version_is_stored(objects: Folder, tmp_path: Path) -> None:
    source, first = tmp_path / "source", os.urandom(20 * MEGABYTE)
    second = first[: 5 * MEGABYTE] + b"inserted" + first[5 * MEGABYTE :] + os.urandom(200_000)
    third = b"before all" + second
    one = put_file(objects, source, first)
    room = bytes_in(tmp_path / "objects")
    two = put_file(objects, source, second, like=one)
    three = put_file(objects, source, third, like=two)
    assert bytes_in(tmp_path / "objects") - room < 1.5 * MEGABYTE
    assert objects.file(one) is not None
    assert objects.file(two) is objects.file(three) is None
    with objects.open(three) as stream:
        assert stream.seekable()
        for at, whence in ((5 * MEGABYTE, 0), (-100, 2), (-1000, 1), (len(third) + 5, 0)):
            now = stream.seek(at, whence)
            assert stream.tell() == now
            assert stream.read(700_000) == third[now : now + 700_000]
        with pytest.raises((ValueError, OSError)):
            stream.seek(-1)
    objects.delete(two)
    objects.delete(one)
    assert list(objects.list()) == [three]
    assert read(objects, three) == third
    assert put_file(objects, source, first) == one
    assert is_whole(objects, three)
    assert len(packs(tmp_path)) == 2
    objects.delete(three)
    assert packs(tmp_path) == []
    assert read(objects, one) == first


def test_a_version_that_is_mostly_new_is_stored_whole(objects: Folder, tmp_path: Path) -> None:
    source, first = tmp_path / "source", os.urandom(5 * MEGABYTE)
    one = put_file(objects, source, first)
    two = put_file(objects, source, first[:500_000] + os.urandom(5 * MEGABYTE), like=one)
    assert objects.file(two) is not None
    assert packs(tmp_path) == []


def test_a_version_like_a_damaged_one_is_stored_whole(objects: Folder, tmp_path: Path) -> None:
    source, first = tmp_path / "source", os.urandom(5 * MEGABYTE)
    one = put_file(objects, source, first)
    put_file(objects, source, first + b"2", like=one)
    damage(place(tmp_path, one), 1000)
    three = put_file(objects, source, first + b"3", like=one)
    assert is_whole(objects, three)
    assert objects.file(three) is not None


def test_a_version_of_many_sources_is_stored_whole(
    objects: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepfit.objects.folder._SOURCES", 2)
    content, last, wholes = os.urandom(5 * MEGABYTE), None, []
    for _ in range(3):
        last = put_file(objects, tmp_path / "source", content, like=last)
        wholes.append(objects.file(last) is not None)
        content += os.urandom(300_000)
    assert wholes == [True, False, True]


def test_versions_put_and_deleted_at_once_are_whole(objects: Folder, tmp_path: Path) -> None:
    """Two stores in one folder behave as two processes do, but for what they share through the disk."""
    base = os.urandom(4 * MEGABYTE)
    sources = [tmp_path / f"source-{n}" for n in range(4)]
    for n, source in enumerate(sources):
        source.write_bytes(base + bytes([n]) * 200_000)
    digests = [digest_bytes(source.read_bytes()) for source in sources]
    small = [digest_bytes(content) for content in SMALL]

    def work(seed: int) -> None:
        mine, chance = Folder(tmp_path / "objects"), random.Random(seed)
        for _ in range(15):
            match chance.randrange(4):
                case 0:
                    mine.put_all(SMALL)
                case 1:
                    mine.delete(chance.choice([*digests, *small]))
                case _:
                    mine.put(chance.choice(sources), like=chance.choice(digests))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert [digest for digest in objects.list() if not is_whole(objects, digest)] == []
    for digest in objects.list():
        objects.delete(digest)
    assert bytes_in(tmp_path / "objects" / "packs") < MEGABYTE


# damage


def test_damage_is_told_and_mended_by_putting_again(objects: Folder, tmp_path: Path) -> None:
    source, content = tmp_path / "source", os.urandom(5 * MEGABYTE)
    one = put_file(objects, source, content)
    two = put_file(objects, source, content + b"2", like=one)
    large, small = objects.put(LARGE), objects.put_all(SMALL)
    damage(place(tmp_path, large))
    damage(place(tmp_path, one))
    pack = next(path for path in packs(tmp_path) if path.name.startswith("pack-"))
    damage(pack, 70_000)
    assert {d for d in objects.list() if not is_whole(objects, d)} == {large, one, two, small[1]}
    for digest in (large, one, small[1]):
        objects.delete(digest)
    assert put_file(objects, source, content) == one
    objects.put_all([LARGE, SMALL[1]])
    assert [d for d in objects.list() if not is_whole(objects, d)] == []


def test_missing_bytes_are_told(objects: Folder, tmp_path: Path) -> None:
    content = os.urandom(5 * MEGABYTE)
    one = put_file(objects, tmp_path / "source", content)
    two = put_file(objects, tmp_path / "source", content + bytes(100_000), like=one)
    small = objects.put_all(SMALL)
    kept = objects.put(b"kept")
    place(tmp_path, one).chmod(0o644)
    os.truncate(place(tmp_path, one), 1000)
    for pack in packs(tmp_path):
        pack.unlink()
    for digest in (two, small[0]):
        with pytest.raises(DamagedObject):
            read(objects, digest)
        assert not is_whole(objects, digest)
    assert not is_whole(objects, one)
    for digest in (one, two, *small):
        objects.delete(digest)
    assert list(objects.list()) == [kept]


def test_a_damaged_database_leaves_large_objects_and_says_so(objects: Folder, tmp_path: Path) -> None:
    large, small = objects.put(LARGE), [objects.put(os.urandom(3000)) for _ in range(50)]
    objects._index._database.close()
    objects = Folder(tmp_path / "objects")
    for page in range(4, 60):
        damage(tmp_path / "objects" / "objects.db", 4096 * page, much=100)
    assert read(objects, large) == LARGE
    with pytest.raises(StoreError, match=r"objects\.db"):
        for digest in small:
            read(objects, digest)
    assert is_whole(objects, large)


@pytest.mark.parametrize("content", ["CREATE TABLE other (id)", "PRAGMA user_version = 99", ""])
def test_a_database_of_something_else_is_refused(objects: Folder, tmp_path: Path, content: str) -> None:
    large, path = objects.put(LARGE), tmp_path / "objects" / "objects.db"
    path.write_bytes(b"" if content else b"no database at all, but some other file of a user")
    with sqlite3.connect(path) as connection:
        if content:
            connection.execute(content)
    connection.close()
    before = path.read_bytes()
    for act in (lambda: objects.put(b"small"), lambda: list(objects.list()), lambda: objects.delete(large)):
        with pytest.raises(StoreError, match=r"objects\.db"):
            act()
    assert path.read_bytes() == before
    assert read(objects, large) == LARGE


# what changes or fails meanwhile


def test_a_file_that_changes_while_it_is_read_is_refused(
    objects: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    settled = Folder._settled

    def change_meanwhile(self: Folder, digest: str) -> bool:
        source.write_bytes(LARGE + b"new")
        return settled(self, digest)

    monkeypatch.setattr(Folder, "_settled", change_meanwhile)
    with pytest.raises(StoreError, match="`source` changed while it was read"):
        objects.put(source)
    assert list(objects.list()) == []


def test_a_later_version_that_changes_while_it_is_read_is_never_wrong(
    objects: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, content = tmp_path / "source", os.urandom(5 * MEGABYTE)
    one = put_file(objects, source, content)
    source.write_bytes(content + bytes(300_000))
    gives = Folder._gives

    def change_meanwhile(self: Folder, *arguments: object) -> bool:
        damage(packs(tmp_path)[0])  # what the pack would be, had the file changed
        source.write_bytes(content + b"something else")
        return gives(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Folder, "_gives", change_meanwhile)
    two = objects.put(source, like=one)
    assert read(objects, two) == content + b"something else"
    assert sorted(objects.list()) == sorted([one, two])


def test_what_is_not_a_file_is_refused(objects: Folder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(StoreError, match=f"`{path.name}` is not a file"):
            objects.put(path)
    with pytest.raises(StoreError, match="`missing`"):
        objects.put(tmp_path / "missing", like=objects.put(b"content"))


def test_listing_clears_what_killed_writers_left(
    objects: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [objects.put(LARGE), *objects.put_all(SMALL)]
    left = [place(tmp_path, digests[0]).with_name(".part-0123"), packs(tmp_path)[0].with_name(".part-0123")]
    left.append(packs(tmp_path)[0].with_name("new-0123"))
    for path in left:
        path.touch()
    assert sorted(objects.list()) == sorted(digests)
    assert all(path.exists() for path in left)
    an_hour_ago = time.time() - 3600
    for path in left:
        os.utime(path, (an_hour_ago, an_hour_ago))
    monkeypatch.setattr("keepfit.objects.index._GRACE", -1)
    assert sorted(objects.list()) == sorted(digests)
    assert not any(path.exists() for path in left)
    assert all(is_whole(objects, digest) for digest in digests)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=4096) as disk:
        objects = Folder(disk / "objects")
        kept = [objects.put(b"kept"), objects.put(LARGE)]
        room, source = bytes_in(disk / "objects" / "packs"), tmp_path / "large"
        source.write_bytes(os.urandom(6 * MEGABYTE))
        refused: list[Callable[[], object]] = [
            lambda: objects.put(os.urandom(6 * MEGABYTE)),
            lambda: objects.put(source),
            lambda: objects.put_all([os.urandom(900_000) for _ in range(6)]),
            lambda: objects.put_all([LARGE + b"1", LARGE + b"2", LARGE + b"3"]),
        ]
        for put in refused:
            with pytest.raises(StoreError, match=r"No space left|full") as caught:
                put()
            assert (caught.value.hint or "").startswith("df -h")
            assert sorted(objects.list()) == sorted(kept)
            assert not list(disk.glob("objects/*/.part-*"))
            assert bytes_in(disk / "objects" / "packs") == room
        filler = fill(disk)
        with pytest.raises(StoreError, match=r"No space left|full"):
            objects.put_all([b"small, but too large all the same" * n for n in range(200)])
        assert [read(objects, digest) for digest in kept] == [b"kept", LARGE]
        assert [read(Folder(disk / "objects"), digest) for digest in kept] == [b"kept", LARGE]
        filler.unlink()
        assert objects.has(objects.put(b"again"))
        assert [*objects.put_all(SMALL)] == [digest_bytes(content) for content in SMALL]


def test_a_full_disk_can_be_read_by_a_new_process(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=1024) as disk:
        elsewhere(disk / "objects", "put(b'content')")
        fill(disk)
        objects = Folder(disk / "objects")
        assert read(objects, digest_bytes(b"content")) == b"content"
        with pytest.raises(StoreError) as caught:
            objects.put(bytes(100_000))
        assert (caught.value.hint or "").startswith("df -h")


def test_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    small = "*(bytes([n]) * 50_000 for n in range(40))"
    elsewhere(tmp_path / "objects", f"put_all([b'content', bytes(range(256)) * 5000, {small}])")
    with read_only(tmp_path / "objects"):
        check_reading(Folder(tmp_path / "objects"))
        check_reading(Folder(tmp_path / "objects"))


def elsewhere(path: Path, call: str) -> None:
    """Call a method of the store in another process, which ends in order."""
    code = f"import sys, pathlib; from keepfit.objects.folder import Folder; Folder(pathlib.Path(sys.argv[1])).{call}"
    subprocess.run([sys.executable, "-", str(path)], input=code, text=True, check=True)


def check_reading(objects: Folder) -> None:
    digests = {digest_bytes(content) for content in (b"content", LARGE, *SMALL)}
    assert set(objects.list()) == digests
    assert all(is_whole(objects, digest) for digest in digests)
    assert objects.put(b"content") in digests
    for act in (
        lambda: objects.put(b"other"),
        lambda: objects.put(LARGE + b"other"),
        lambda: objects.put_all(content + b"other" for content in SMALL),
        lambda: objects.delete(digest_bytes(b"content")),
        lambda: objects.delete(digest_bytes(LARGE)),
    ):
        with pytest.raises(StoreError, match="Read-only"):
            act()


def test_a_store_whose_writer_was_killed_can_be_read_where_it_is_read_only(tmp_path: Path) -> None:
    worker = workers.start(workers.put, "folder:objects", tmp_path)
    (first, *_) = workers.kill_at_random(worker)
    assert (tmp_path / "objects" / "objects.db-wal").stat().st_size
    with read_only(tmp_path / "objects"):
        assert is_whole(Folder(tmp_path / "objects"), first)


PUT_ALL = """
import os, sys, pathlib
from keepfit.objects.folder import Folder
objects, source = Folder(pathlib.Path("objects")), pathlib.Path("source")
large = bytes(range(256)) * 20_000
print(*objects.put_all([bytes([n]) * 50_000 for n in range(40)] + [b"small", large]))
source.write_bytes(large + bytes(1000))
print(objects.put(source, like=objects.put(large)))
for n in range(30):
    objects.delete(objects.put(bytes([n]) * 50_000))
objects.delete(objects.put(large))
"""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_struck_at_any_write_and_run_again_it_ends_the_same(fault: str, tmp_path: Path) -> None:
    command, last = [sys.executable, "-c", PUT_ALL], set[str]()
    for at in range(1, 440, 16):
        folder = tmp_path / str(at)
        folder.mkdir()
        struck = strike(command, fault, at=at, cwd=folder)
        assert "sqlite3." not in struck.stderr.splitlines()[-1:], f"at write {at}:\n{struck.stderr}"
        objects = Folder(folder / "objects")
        assert [d for d in objects.list() if not is_whole(objects, d)] == [], f"at write {at}"
        assert {d for line in struck.stdout.splitlines()[:1] for d in line.split()[30:40]} <= set(objects.list())
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        there = set(objects.list())
        assert all(is_whole(objects, digest) for digest in there)
        assert not last or there == last, f"at write {at}"
        last = there


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_was_acknowledged_survives_a_power_cut(kind: str, tmp_path: Path) -> None:
    acknowledged = list[str]()
    with disk(tmp_path / "disk", kind) as drive:
        for _ in range(6):
            running = [workers.start(workers.put, "folder:objects", drive.folder) for _ in range(2)]
            first = [worker.stdout.readline() for worker in running if worker.stdout]
            time.sleep(int.from_bytes(os.urandom(1)) / 256)
            drive.cut()
            said = [worker.communicate(timeout=60)[0] for worker in running]
            # The last line may have been said of a sync that the shutdown cut short and the kernel called done.
            lines = [(a + b).splitlines()[:-1] for a, b in zip(first, said, strict=True)]
            acknowledged += [digest for told in lines for line in told for digest in line.split()]
            drive.restart()
            objects = Folder(drive.folder / "objects")
            there = set(objects.list())
            assert there >= set(acknowledged)
            assert [digest for digest in there if not is_whole(objects, digest)] == []
            for digest in sorted(there)[::2]:
                objects.delete(digest)
            acknowledged = sorted(there)[1::2]
            objects._index._database.close()
    assert len(acknowledged) > 10


def test_a_store_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    objects = Folder(tmp_path / "file" / "objects")
    with pytest.raises(StoreError, match="Not a directory"):
        objects.put(b"content")
    assert not objects.has(digest_bytes(b"content"))
    assert list(objects.list()) == []


@pytest.mark.parametrize("url", ["floder:objects", "objects", "folder:", ":objects", ""])
def test_an_unknown_address_names_the_known_ones(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="`folder`"):
        open_objects(url, tmp_path)


def test_an_absolute_address_stays_so(tmp_path: Path) -> None:
    digest = open_objects(f"folder:{tmp_path}/there", tmp_path / "here").put(b"content")
    assert read(Folder(tmp_path / "there"), digest) == b"content"
