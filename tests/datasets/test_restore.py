"""Putting versions back without losing what is there."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_kit import contents, source, write

from keepfit.core import files
from keepfit.core.errors import DamagedObject, Refused, StoreError
from keepfit.core.files import Placing, place_files
from keepfit.datasets.add import add
from keepfit.datasets.restore import restore
from keepfit.datasets.tree import tree_files
from keepfit.datasets.version import DataVersion, resolve_version
from keepfit.home import Home
from keepfit.testing.disks import fill, small_disk

OLD = {"a": "1", "x/b": "2", "x/c": "3"}
NEW = {"a": "other", "x/c": "3", "y/e": "5"}


def replace(home: Home, tree: dict[str, str]) -> None:
    for path in (home.root / "d").rglob("*"):
        if path.is_file():
            path.unlink()
    write(home.root, {f"d/{p}": text for p, text in tree.items()})


@pytest.fixture
def old(home: Home) -> DataVersion:
    """The older of two versions; the newer one is in place."""
    replace(home, OLD)
    found = add(home, source(home)).version
    replace(home, NEW)
    add(home, source(home))
    return found


def test_the_files_are_those_of_the_version(home: Home, old: DataVersion) -> None:
    done = restore(home, old)
    assert contents(home.root / "d") == OLD
    assert (done.written, done.removed, done.kept) == (2, 1, [])
    assert not (home.root / "d/y").exists()
    assert restore(home, old).written == 0
    restore(home, resolve_version(home, "d@2"))
    assert contents(home.root / "d") == NEW


def test_what_is_in_no_version_is_not_overwritten(home: Home, old: DataVersion) -> None:
    write(home.root, {"d/a": "work of a day", "d/new": "mine"})
    with pytest.raises(Refused, match="1 files would be overwritten whose content is in no version: `a`"):
        restore(home, old)
    assert contents(home.root / "d") == NEW | {"a": "work of a day", "new": "mine"}
    done = restore(home, old, force=True)
    assert contents(home.root / "d") == OLD | {"new": "mine"}
    assert done.kept == ["new"]


def test_content_of_another_version_may_be_overwritten(home: Home, old: DataVersion) -> None:
    write(home.root, {"e/a": "kept elsewhere"})
    add(home, source(home, "e"))
    write(home.root, {"d/a": "kept elsewhere"})
    restore(home, old)
    assert contents(home.root / "d") == OLD


def test_a_file_where_a_folder_was_and_the_other_way_round(home: Home) -> None:
    replace(home, {"a": "file", "b/c": "in a folder"})
    first = add(home, source(home)).version
    replace(home, {})
    (home.root / "d/b").rmdir()
    replace(home, {"a/c": "in a folder", "b": "file"})
    second = add(home, source(home)).version
    restore(home, first)
    assert contents(home.root / "d") == {"a": "file", "b/c": "in a folder"}
    restore(home, second)
    write(home.root, {"d/a/mine": "not versioned"})
    with pytest.raises(Refused, match="`a/mine`"):
        restore(home, first)


def test_elsewhere(home: Home, old: DataVersion, tmp_path: Path) -> None:
    to = tmp_path / "out"
    assert restore(home, old, to=to).written == 3
    assert contents(to) == OLD
    restore(home, resolve_version(home, "d@2"), to=to)
    assert contents(to) == NEW
    assert contents(home.root / "d") == NEW
    write(to, {"letter": "dear"})
    with pytest.raises(Refused, match="holds files that no version of `d` has: `letter`"):
        restore(home, old, to=to)
    restore(home, old, to=to, force=True)
    assert contents(to) == OLD | {"letter": "dear"}


def test_a_damaged_object_is_named_and_nothing_takes_its_place(
    home: Home, old: DataVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    (digest,) = (f.digest for f in tree_files(home.objects, old.tree) if f.path == "x/b")
    opened = type(home.objects).open
    flipped = io.BytesIO(b"3")
    monkeypatch.setattr(type(home.objects), "file", lambda self, wanted: None)
    monkeypatch.setattr(type(home.objects), "open", lambda self, d: flipped if d == digest else opened(self, d))
    with pytest.raises(DamagedObject, match="`x/b`"):
        restore(home, old)
    assert not (home.root / "d/x/b").exists()


def test_a_full_disk_leaves_whole_files_and_it_can_be_run_again(home: Home, tmp_path: Path) -> None:
    replace(home, {f"{i}": str(i) * 50_000 for i in range(8)})
    found = add(home, source(home)).version
    with small_disk(tmp_path / "disk", kilobytes=600) as disk:
        filler = fill(disk)
        with pytest.raises(StoreError, match="No space left"):
            restore(home, found, to=disk / "out")
        assert not list(disk.glob("out/.part-*"))
        filler.unlink()
        restore(home, found, to=disk / "out")
        assert contents(disk / "out") == contents(home.root / "d")


def test_killed_at_any_moment_every_file_is_whole(home: Home, tmp_path: Path) -> None:
    replace(home, {f"{i:03}": f"{i:03}" * 20_000 for i in range(200)})
    found = add(home, source(home)).version
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from data_kit import make_home\n"
        "from keepfit.core import files; files._BATCH = 10\n"
        "from keepfit.datasets.restore import restore\n"
        "from keepfit.datasets.version import resolve_version\n"
        "home = make_home(Path(sys.argv[2])); print('ready', flush=True)\n"
        "restore(home, resolve_version(home, 'd'), to=Path(sys.argv[3]))\n"
    )
    to = tmp_path / "out"
    for pause in (0.02, 0.05):
        command = [sys.executable, "-c", program, str(Path(__file__).parent), str(home.root), str(to)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            assert worker.stdout
            worker.stdout.readline()
            time.sleep(pause)
            worker.send_signal(signal.SIGKILL)
    whole = contents(home.root / "d")
    present = (
        {name: text for name, text in contents(to).items() if not name.startswith(".part-")} if to.exists() else {}
    )
    assert present.items() <= whole.items()
    for part in to.glob(".part-*"):
        os.utime(part, (0, 0))
    restore(home, found, to=to)
    assert contents(to) == whole


def test_an_original_that_could_be_written_through_is_not_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tmp_path / "original"
    original.write_text("content")
    original.chmod(0o444)
    writable = iter([True, False])
    monkeypatch.setattr(files.os, "access", lambda path, mode: next(writable))
    monkeypatch.setattr(files, "_clone", lambda original, part: False)
    for name, links in (("copy", 1), ("link", 2)):
        place_files([Placing(str(tmp_path / name), original, lambda file: file.write(b"content"))])
        assert (tmp_path / name).read_text() == "content"
        assert (tmp_path / name).stat().st_nlink == links
    assert (tmp_path / "link").stat().st_mode & 0o222 == 0


def test_a_path_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("file", "new/folder/file"):
        place_files([Placing(path, None, lambda file: file.write(b"content"))])
        assert Path(path).read_text() == "content"
