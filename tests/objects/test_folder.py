import os
import stat
import time
from pathlib import Path

import pytest

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import StoreError, UsageError
from keepfit.objects import is_whole, open_objects, read
from keepfit.objects.folder import Folder
from keepfit.testing.disks import fill, read_only, small_disk
from keepfit.testing.objects import ObjectsSuite


class TestFolder(ObjectsSuite):
    url = "folder:objects"


@pytest.fixture
def objects(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "objects")


def place(tmp_path: Path, digest: str) -> Path:
    return tmp_path / "objects" / digest[:2] / digest[2:]


def test_an_object_is_a_read_only_file_named_after_its_digest(objects: Folder, tmp_path: Path) -> None:
    path = place(tmp_path, objects.put(b"content"))
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_opening_makes_nothing(tmp_path: Path) -> None:
    store = open_objects("folder:objects", tmp_path)
    assert list(store.list()) == []
    assert not (tmp_path / "objects").exists()


def test_storing_again_writes_nothing(objects: Folder, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    before = place(tmp_path, objects.put(source)).stat()
    assert objects.put(source) == objects.put(b"content")
    assert place(tmp_path, digest_bytes(b"content")).stat() == before


def test_damage_is_told(objects: Folder, tmp_path: Path) -> None:
    digest = objects.put(b"content")
    path = place(tmp_path, digest)
    path.chmod(0o644)
    path.write_bytes(b"c0ntent")
    assert not is_whole(objects, digest)


def test_a_file_that_changes_while_it_is_read_is_refused(
    objects: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"old")
    settled = Folder._settled

    def change_meanwhile(self: Folder, digest: str) -> bool:
        source.write_bytes(b"new")
        return settled(self, digest)

    monkeypatch.setattr(Folder, "_settled", change_meanwhile)
    with pytest.raises(StoreError, match="`source` changed while it was read"):
        objects.put(source)
    assert list(objects.list()) == []


def test_listing_clears_what_killed_writers_left(objects: Folder, tmp_path: Path) -> None:
    digest = objects.put(b"content")
    left = place(tmp_path, digest).with_name(".part-0123")
    left.touch()
    assert list(objects.list()) == [digest]
    assert left.exists()
    an_hour_ago = time.time() - 3600
    os.utime(left, (an_hour_ago, an_hour_ago))
    assert list(objects.list()) == [digest]
    assert not left.exists()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=512) as disk:
        objects = Folder(disk / "objects")
        kept = objects.put(b"kept")
        for content in (os.urandom(600_000), tmp_path / "large"):
            (tmp_path / "large").write_bytes(os.urandom(600_000))
            with pytest.raises(StoreError, match="No space left"):
                objects.put(content)
        assert [*objects.list()] == [kept]
        assert not list(disk.glob("objects/*/.part-*"))
        filler = fill(disk)
        with pytest.raises(StoreError, match="No space left"):
            objects.put(b"small, but too large all the same")
        assert read(objects, kept) == b"kept"
        filler.unlink()
        assert objects.has(objects.put(b"again"))


def test_a_read_only_folder_can_be_read(objects: Folder, tmp_path: Path) -> None:
    digest = objects.put(b"content")
    with read_only(tmp_path / "objects"):
        assert read(objects, digest) == b"content"
        assert list(objects.list()) == [digest]
        with pytest.raises(StoreError, match="Read-only"):
            objects.put(b"other")
        with pytest.raises(StoreError, match="Read-only"):
            objects.delete(digest)


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
