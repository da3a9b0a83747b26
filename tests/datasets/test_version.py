"""Versioning files: what is read again, what is recorded, what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from data_kit import contents, make_home, source, write

from keepfit.core.errors import DataError, NotFound, StoreError
from keepfit.datasets import add as adding
from keepfit.datasets import status as looking
from keepfit.datasets.add import add, version
from keepfit.datasets.choose import choose
from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.history import history
from keepfit.datasets.status import status
from keepfit.datasets.tree import tree_digests, tree_files
from keepfit.datasets.version import checkout, find_version, list_versions, newest_version, resolve_version
from keepfit.home import Home
from keepfit.ledger import Query
from keepfit.objects.object import Objects
from keepfit.testing.disks import fill, small_disk


def spy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read from now on."""
    read: list[str] = []
    put, digest = adding._put, looking.digest_file

    def putting(objects: Objects, wanted, told):  # type: ignore[no-untyped-def]
        read.extend(w.shown for w in wanted)
        return put(objects, wanted, told)

    def digesting(path: Path) -> str:
        read.append(path.name)
        return digest(path)

    monkeypatch.setattr(adding, "_put", putting)
    monkeypatch.setattr(looking, "digest_file", digesting)
    return read


def settle() -> None:
    """Wait until what was written can no longer change without its times telling."""
    time.sleep(0.03)


def test_a_version_tells_what_it_is(home: Home) -> None:
    write(home.root, {"d/a": "1", "d/x/b": "22"})
    found = add(home, source(home)).version
    assert (str(found), found.files, found.bytes, found.rows, found.actor) == ("d@1", 2, 3, None, "ada")
    assert found.changed == {"added": 2, "modified": 0, "deleted": 0}
    assert [(f.path, f.size) for f in tree_files(home.objects, found.tree)] == [("a", 1), ("x/b", 2)]
    assert find_version(home, found.id) == newest_version(home, "d") == found
    with pytest.raises(DataError, match="is not a data version"):
        find_version(home, "data-0")


def test_a_table_tells_rows_columns_and_time(home: Home) -> None:
    write(home.root, {"d/1.csv": "when,n\n2024-01-01,1\n2024-01-03,2\n", "d/2.csv": "when,n\n2024-01-02,x\n"})
    columns = {"when": Column(type="timestamp", role="event time"), "n": Column(type="text")}
    found = version(home, Dataset(name="d", source="d/*.csv", columns=columns))
    assert found.rows == 3
    assert found.columns == {"when": "Datetime(time_unit='us', time_zone=None)", "n": "String"}
    assert found.since and found.until
    assert (found.since.day, found.until.day) == (1, 3)
    pl.DataFrame({"a": [1, 2]}).write_parquet(home.root / "t.parquet")
    assert add(home, source(home, "t.parquet")).version.rows == 2


def test_unchanged_files_are_not_read_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home.root, {f"d/{i}/{j}": f"{i}{j}" for i in range(3) for j in range(3)})
    settle()
    first = add(home, source(home))
    read = spy(monkeypatch)
    assert add(home, source(home)) == (first.version, False, {}, None)
    assert not status(home, source(home)).changed
    assert read == []
    write(home.root, {"d/1/1": "other"})
    settle()
    assert status(home, source(home)).counts == {"added": 0, "modified": 1, "deleted": 0}
    assert read == ["1"]
    assert not (adding.add(home, source(home)).version.changed["added"])
    assert read == ["1", "d/1/1"]


def test_a_file_as_new_as_its_reading_is_read_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home.root, {"d/old": "1"})
    settle()
    write(home.root, {"d/new": "a"})
    add(home, source(home))
    path = home.root / "d/new"
    before = path.stat()
    read = spy(monkeypatch)
    path.write_text("b")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert status(home, source(home)).first["modified"] == ["new"]
    assert read == ["new"]


def test_going_back_is_the_same_version_and_a_fact_of_its_own(home: Home) -> None:
    write(home.root, {"d/a": "1"})
    first = add(home, source(home))
    write(home.root, {"d/a": "2", "d/b": "3"})
    second = add(home, source(home))
    assert second.counts == {"added": 1, "modified": 1, "deleted": 0}
    assert second.version.previous == first.version.id
    write(home.root, {"d/a": "1"})
    (home.root / "d/b").unlink()
    back = add(home, source(home))
    assert back.version == first.version
    assert back.counts == {"added": 0, "modified": 1, "deleted": 1}
    write(home.root, {"d/a": "4"})
    third = add(home, source(home))
    assert str(third.version) == "d@3"
    told = [(str(c.version), c.back, c.newest) for c in history(home, "d")]
    assert told == [("d@3", False, True), ("d@1", True, False), ("d@2", False, False), ("d@1", False, False)]
    assert [v.number for v in list_versions(home, "d")] == [1, 2, 3]
    assert resolve_version(home, "d@-1") == resolve_version(home, "d") == third.version
    assert resolve_version(home, "d@-3") == resolve_version(home, first.version.id) == first.version
    with pytest.raises(NotFound, match="has versions 1 to 3"):
        resolve_version(home, "d@4")
    with pytest.raises(NotFound, match="`e@1` has no version"):
        resolve_version(home, "e@1")


def test_what_is_recorded_is_in_the_store(home: Home) -> None:
    """A status reads without storing; what it then knows must still be stored when a version is made."""
    write(home.root, {"d/a": "1", "d/x/b": "2"})
    settle()
    status(home, source(home))
    found = add(home, source(home)).version
    assert all(home.objects.has(d) for d in tree_digests(home.objects, found.tree))
    write(home.root, {"d/x/b": "3", "d/x/c": "4", "d/y/e": "5"})
    settle()
    status(home, source(home))
    found = add(home, source(home)).version
    assert all(home.objects.has(d) for d in tree_digests(home.objects, found.tree))


def test_a_store_that_was_exchanged_is_filled_again(home: Home) -> None:
    write(home.root, {"d/a": "1", "d/x/b": "2"})
    settle()
    tree = add(home, source(home)).version.tree
    shutil.rmtree(home.root / ".keepfit/objects")
    add(home, source(home))
    assert all(home.objects.has(d) for d in tree_digests(home.objects, tree))


def test_a_damaged_cache_costs_only_time(home: Home) -> None:
    write(home.root, {"d/a": "1"})
    found = add(home, source(home)).version
    for cache in (home.folder / "cache" / "data").iterdir():
        cache.write_bytes(cache.read_bytes()[:-7])
    assert add(home, source(home)).version == found


def test_a_file_that_changes_while_it_is_added_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home.root, {"d/a": "1", "d/b": "2"})
    put_all = type(home.objects).put_all

    def meanwhile(self: Objects, contents: Iterable[bytes | Path]) -> list[str]:
        done = put_all(self, contents)
        (home.root / "d/b").write_text("longer")
        return done

    monkeypatch.setattr(type(home.objects), "put_all", meanwhile)
    with pytest.raises(DataError, match="`d/b` changed while it was being added"):
        add(home, source(home))
    assert newest_version(home, "d") is None
    assert not home.ledger.find(Query())


def test_a_file_that_vanishes_while_it_is_added_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home.root, {"d/a": "1", "d/b": "2"})
    put_all = type(home.objects).put_all

    def meanwhile(self: Objects, contents: Iterable[bytes | Path]) -> list[str]:
        (home.root / "d/b").unlink()
        return put_all(self, contents)

    monkeypatch.setattr(type(home.objects), "put_all", meanwhile)
    with pytest.raises(DataError, match="`d/b` vanished"):
        add(home, source(home))
    assert not home.ledger.find(Query())


def test_no_file_is_told(home: Home) -> None:
    with pytest.raises(NotFound, match="there is no file at `d`"):
        add(home, source(home))
    dataset = Dataset(name="d", source="d/*.csv", columns={})
    with pytest.raises(NotFound, match=r"no file matches `d/\*.csv` of dataset `d`"):
        version(home, dataset)


def test_files_that_are_gone_are_a_change(home: Home) -> None:
    write(home.root, {"d/a": "1"})
    add(home, source(home))
    (home.root / "d/a").unlink()
    assert status(home, newest_version(home, "d").source).counts["deleted"] == 1  # type: ignore[union-attr]


def test_a_full_disk_records_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=4096) as disk:
        home = make_home(disk)
        write(home.root, {f"d/{i}": str(i) * 100_000 for i in range(8)})
        add(home, source(home, "d/0"))
        filler = fill(disk)
        with pytest.raises(StoreError, match=r"No space left|disk is full"):
            add(home, source(home))
        assert newest_version(home, "d") is None
        assert not status(home, source(home, "d/0")).changed
        filler.unlink()
        assert add(home, source(home)).changed
        home.ledger.close()


def test_words_mean_datasets_versions_or_paths(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home.root, {"data/a.csv": "x\n1\n", "data/b.csv": "x\n1\n", "img/1.png": ""})
    monkeypatch.chdir(home.root)
    datasets = [
        Dataset(name="a", source="data/a.csv", columns={}),
        Dataset(name="all", source="data/*.csv", columns={}),
    ]

    def names(*words: str) -> list[str]:
        return [c.source.name for c in choose(home, datasets, words, all_versioned=True)]

    assert names() == ["a", "all"]
    assert names("a", "data/a.csv", "./data/../data/a.csv") == ["a"]
    assert names("data/b.csv") == ["all"]
    assert names("data") == ["all"]
    assert names("img") == names("img/") == ["img"]
    add(home, source(home, "img"))
    assert names() == ["a", "all", "img"]
    monkeypatch.chdir(home.root / "img")
    assert names("1.png", "../img/1.png") == ["img/1.png"]
    with pytest.raises(NotFound, match="no dataset and no file `imf`"):
        names("imf")
    with pytest.raises(NotFound):
        names("im*f")
    (home.root.parent / "x").touch()
    with pytest.raises(DataError, match=r"`\.\./\.\./x` is outside the project"):
        names("../../x")
    monkeypatch.chdir(home.root.parent)
    assert names("img/1.png") == ["img/1.png"]


def test_two_that_add_at_once_lose_nothing(home: Home, tmp_path: Path) -> None:
    write(home.root, {f"{n}/{i}": f"{n} {i}" for n in "ab" for i in range(20)})
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from data_kit import make_home, source, write\n"
        "from keepfit.datasets.add import add\n"
        "root = Path(sys.argv[2]); home = make_home(root)\n"
        "for i in range(6):\n"
        "    write(root, {f'd/{sys.argv[3]}': str(i)}); add(home, source(home, 'd/' + sys.argv[3]))\n"
        "    add(home, source(home, 'a'))\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(home.root)]
    workers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "xy"]
    for worker in workers:
        assert worker.communicate()[1] == ""
    assert [v.number for v in list_versions(home, "d/x")] == [1, 2, 3, 4, 5, 6]
    assert [v.number for v in list_versions(home, "d/y")] == [1, 2, 3, 4, 5, 6]
    assert [v.number for v in list_versions(home, "a")] == [1]


def test_a_version_is_laid_out_for_a_run(home: Home, tmp_path: Path) -> None:
    write(home.root, {"d/a": "1", "d/x/b": "2"})
    found = add(home, source(home)).version
    paths = checkout(home.objects, found, tmp_path / "out")
    assert paths == [tmp_path / "out/a", tmp_path / "out/x/b"]
    assert contents(tmp_path / "out") == {"a": "1", "x/b": "2"}
