"""Damage is found, told in the user's words, and mended where the bytes still are."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keepfit.core.digests import canonical, digest_bytes
from keepfit.core.errors import DamagedObject, StoreError
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.keeping.needs import Needs, needed
from keepfit.keeping.sources import store, working_files
from keepfit.keeping.verify import verify
from keepfit.ledger import Fact, Move, fact, open_ledger
from keepfit.objects import is_whole, open_objects
from keepfit.objects.folder import Folder

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)
LARGE = 2_000_000
"""Bytes of an object that has a file of its own."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(
        root=tmp_path,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", tmp_path),
        objects=open_objects("folder:.keepfit/objects", tmp_path),
        engine=Here(),
    )


def model(home: Home, content: bytes) -> Fact:
    """A run that rests on code, a model that rests on the run, a release that rests on the model."""
    (home.root / "code.py").write_bytes(content)
    code = {"code.py": home.objects.put(content)}
    run = fact("run", "model/delay", time=NOON, body={"code": code, "key": "f" * 64})
    made = fact("model", "model/delay", time=NOON, body={"version": 3}, refs={"run": run.id})
    live = fact("release", "release/delay", time=NOON, body={"version": 3}, refs={"model": made.id})
    home.ledger.append([run, made, live], [Move("release/delay", None, live.id)])
    return run


def damage(home: Home, digest: str) -> None:
    path = home.objects.file(digest)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_all_is_well(home: Home) -> None:
    model(home, os.urandom(LARGE))
    found = verify(home)
    assert found.well and not found.faults
    assert (found.objects, found.bytes, found.facts, found.names) == (1, LARGE, 3, 1)


@pytest.mark.parametrize("state", ["damaged", "missing"])
def test_what_rests_on_a_bad_object_is_named_and_it_is_repaired(home: Home, state: str) -> None:
    digest = model(home, os.urandom(LARGE)).body["code"]["code.py"]
    damage(home, digest) if state == "damaged" else home.objects.delete(digest)
    found = verify(home)
    assert not found.well
    (fault,) = found.faults
    assert (fault.digest, fault.state) == (digest, state)
    assert fault.needed_by == ["release delay@3", "model delay@3", "run delay of 2013-05-02 12:00"]
    found = verify(home, sources=[working_files(home)])
    assert found.well and found.faults[0].repaired_from == "the working files"
    assert is_whole(home.objects, digest)
    assert not verify(home).faults


def test_files_that_have_changed_repair_nothing(home: Home) -> None:
    digest = model(home, os.urandom(LARGE)).body["code"]["code.py"]
    home.objects.delete(digest)
    (home.root / "code.py").write_bytes(b"something else")
    assert not verify(home, sources=[working_files(home)]).well
    assert not home.objects.has(digest)


def test_a_full_disk_is_no_reason_to_call_an_object_lost(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = model(home, os.urandom(LARGE)).body["code"]["code.py"]
    home.objects.delete(digest)

    def refuse(*_: object, **__: object) -> str:
        raise StoreError("cannot write: No space left on device")

    monkeypatch.setattr(home.objects, "put", refuse)
    with pytest.raises(StoreError, match="No space left"):
        verify(home, sources=[working_files(home)])
    monkeypatch.undo()
    assert verify(home, sources=[working_files(home)]).well


def test_another_store_repairs_only_with_the_right_bytes(home: Home, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    digest = model(home, content).body["code"]["code.py"]
    other = open_objects("folder:other", tmp_path)
    other.put(content)
    home.objects.delete(digest)
    path = other.file(digest)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"rotten")
    assert not verify(home, sources=[store("other", other, tmp_path / "incoming")]).well
    other.delete(digest)
    other.put(content)
    assert verify(home, sources=[store("other", other, tmp_path / "incoming")]).well


def test_a_tree_that_is_missing_is_repaired_and_then_read_on(home: Home, tmp_path: Path) -> None:
    other = open_objects("folder:other", tmp_path)
    file = digest_bytes(b"rows")
    tree = other.put(canonical({"tree": 1, "entries": [["rows.csv", "file", 4, file]]}))
    other.put(b"rows")
    home.ledger.append([fact("data", "data/flights", time=NOON, refs={"tree": tree}, body={"version": 1})])
    assert [fault.digest for fault in verify(home).faults] == [tree]
    found = verify(home, sources=[store("other", other, tmp_path / "incoming")])
    assert found.well and {fault.digest for fault in found.faults} == {tree, file}
    assert not verify(home).faults


def test_the_digest_of_a_value_is_no_object(home: Home) -> None:
    run = model(home, b"code")
    assert needed(run) == {run.body["code"]["code.py"]}


def test_what_a_tree_lists_is_needed_by_its_fact(home: Home) -> None:
    file = home.objects.put(b"rows")
    below = home.objects.put(canonical({"tree": 1, "entries": [["rows.csv", "file", 4, file]]}))
    tree = home.objects.put(canonical({"tree": 1, "entries": [["may", "folder", 4, below]]}))
    found = Needs(home.objects).add([fact("data", "data/flights", time=NOON, refs={"tree": tree})])
    assert set(found.by) == {file, below, tree} and not found.unlisted


def test_a_ledger_that_was_altered_is_told(home: Home) -> None:
    import sqlite3

    model(home, b"code")
    home.ledger.close()
    with sqlite3.connect(home.folder / "ledger.db") as connection:
        connection.execute("UPDATE fact SET actor = 'someone else' WHERE seq = 2")
    connection.close()
    opened = Home(
        root=home.root,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", home.root),
        objects=home.objects,
        engine=home.engine,
    )
    found = verify(opened)
    assert not found.well and found.ledger and "fact number 2" in found.ledger


@pytest.mark.parametrize("content", [None, b"no database"])
def test_an_index_that_is_lost_or_damaged_is_made_anew(home: Home, content: bytes | None) -> None:
    digest = model(home, b"small").body["code"]["code.py"]
    objects = Folder(home.root / ".keepfit" / "objects")
    for path in (home.root / ".keepfit" / "objects").glob("objects.db*"):
        path.write_bytes(content) if content else path.unlink()
    (home.root / "code.py").unlink()
    with pytest.raises(DamagedObject) as caught:
        verify(home, objects)
    assert caught.value.hint == "keepfit verify --repair"
    found = verify(home, objects, sources=[working_files(home)])
    assert found.well and found.index and "objects.db" in found.index and not found.faults
    assert is_whole(objects, digest)
    assert verify(home, objects).index is None
