import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keepfit.core.errors import NameMoved, StoreError, UsageError
from keepfit.ledger import Fact, Move, Point, Query, fact, open_ledger
from keepfit.ledger.sqlite import SqliteLedger
from keepfit.testing.disks import fill, read_only, small_disk
from keepfit.testing.ledger import LedgerSuite

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)


class TestSqlite(LedgerSuite):
    url = "sqlite:ledger.db"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(path)
    yield opened
    opened.close()


def event(number: int, **parts: Any) -> Fact:
    return fact("event", "test", time=NOON, key=number, body={"n": number}, attributes={"n": number, "t": "x"}, **parts)


def alter(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["UPDATE fact SET body = '{\"n\":30}' WHERE seq = 3"], "fact number 3"),
        (["UPDATE fact SET subject = 'else' WHERE seq = 3"], "fact number 3"),
        (["UPDATE fact SET kind = 'else' WHERE seq = 3"], "fact number 3"),
        (["UPDATE fact SET id = 'else' WHERE seq = 3"], "fact number 3"),
        (["UPDATE fact SET time = time + 1 WHERE seq = 3"], "fact number 3"),
        (["UPDATE fact SET recorded = recorded + 1 WHERE seq = 3"], "fact number 3"),
        (["UPDATE fact SET actor = 'else' WHERE seq = 3"], "fact number 3"),
        (['UPDATE fact SET refs = \'{"a":"b"}\' WHERE seq = 3'], "fact number 3"),
        (["UPDATE fact SET attributes = '{}' WHERE seq = 3"], "fact number 3"),
        (["UPDATE fact SET chain = 'else' WHERE seq = 3"], "fact number 3"),
        (["UPDATE fact SET body = x'00' WHERE seq = 3"], "fact number 3"),
        (["DELETE FROM fact WHERE seq = 1"], "fact number 1 is missing"),
        (["DELETE FROM fact WHERE seq = 3"], "fact number 3 is missing"),
        (["DELETE FROM fact WHERE seq = 3", "UPDATE fact SET seq = seq - 1 WHERE seq > 3"], "fact number 3"),
        (["DELETE FROM fact WHERE seq = 5", "DELETE FROM attribute WHERE seq = 5"], "ends at fact number 4"),
        (["DELETE FROM fact", "DELETE FROM attribute"], "ends at fact number 0"),
        (
            [
                "UPDATE fact SET seq = 9 WHERE seq = 2",
                "UPDATE fact SET seq = 2 WHERE seq = 3",
                "UPDATE fact SET seq = 3 WHERE seq = 9",
            ],
            "fact number 2",
        ),
        (["UPDATE attribute SET value = 9.0 WHERE seq = 3 AND name = 'n'"], "attributes of fact number 3"),
        (["UPDATE attribute SET subject = 'else' WHERE seq = 3"], "attributes of fact number 3"),
        (["UPDATE attribute SET kind = 'else' WHERE seq = 3"], "attributes of fact number 3"),
        (["DELETE FROM attribute WHERE seq = 3 AND name = 't'"], "attributes of fact number 3"),
        (["INSERT INTO attribute VALUES (3, 'new', 'event', 'test', 1.0)"], "attributes of fact number 3"),
        (["INSERT INTO attribute VALUES (99, 'new', 'event', 'test', 1.0)"], "no fact"),
        (["UPDATE head SET count = 4"], "not the last"),
        (["UPDATE head SET chain = ''"], "not the last"),
        (["DELETE FROM head"], "not the last"),
        (["UPDATE name SET id = 'nothing'"], "`pointer` points at `nothing`"),
    ],
)
def test_tampering_is_found(ledger: SqliteLedger, path: Path, statements: list[str], told: str) -> None:
    ledger.append([event(n) for n in range(5)], [Move("pointer", None, event(0).id)])
    assert ledger.verify() is None
    alter(path, *statements)
    assert told in (ledger.verify() or "")


def test_a_damaged_file_is_told(ledger: SqliteLedger, path: Path) -> None:
    ledger.append([event(n) for n in range(2000)])
    ledger.close()
    with open(path, "r+b") as file:
        file.seek(100_000)
        file.write(os.urandom(50_000))
    with closing(SqliteLedger(path)) as damaged:
        try:
            assert damaged.verify() is not None
        except StoreError as problem:
            assert "`ledger.db`" in problem.message


def test_the_bodies_of_facts_are_plain_json(ledger: SqliteLedger, path: Path) -> None:
    ledger.append([event(7)])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT json_extract(body, '$.n') FROM fact").fetchall() == [(7,)]


def test_every_commit_is_synced_and_logged_ahead(ledger: SqliteLedger, path: Path) -> None:
    with ledger._database.writing() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_writers_that_wait_share_a_commit(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    first_is_in, go = threading.Event(), threading.Event()
    commit = ledger._group._commit

    def slow(batch: Any) -> None:
        sizes.append(len(batch))
        first_is_in.set()
        assert go.wait(20)
        commit(batch)

    monkeypatch.setattr(ledger._group, "_commit", slow)
    threads = [threading.Thread(target=ledger.append, args=([event(n)],)) for n in range(6)]
    threads[0].start()
    assert first_is_in.wait(20)
    for thread in threads[1:]:
        thread.start()
    while len(ledger._group._queue) < 5:
        time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join()
    assert sizes == [1, 5]
    assert len(ledger.find(Query())) == 6


def test_an_interrupted_commit_lets_nobody_hang(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(batch: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger._group, "_commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.append([event(1)])
    assert ledger.append([event(2)]) == [event(2)]
    assert ledger.find(Query()) == [event(2)]


def test_two_ledgers_on_one_file_see_each_other(ledger: SqliteLedger, path: Path) -> None:
    with closing(SqliteLedger(path)) as other:
        ledger.append([event(1)], [Move("n", None, event(1).id)])
        assert other.get(event(1).id) == event(1)
        with pytest.raises(NameMoved):
            other.append([event(2)], [Move("n", None, event(2).id)])
        other.append([event(2)])
        assert [found.body["n"] for found in ledger.find(Query())] == [2, 1]
        assert ledger.verify() is None


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    with closing(open_ledger("sqlite:deep/down/ledger.db", tmp_path)) as ledger:
        ledger.append([event(1)])
    assert (tmp_path / "deep/down/ledger.db").is_file()


def unusable(path: Path, match: str) -> None:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=match) as caught:
        SqliteLedger(path)
    assert f"`{path.name}`" in caught.value.message
    assert caught.value.where == str(path.parent)
    assert before is None or path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"carrier,origin\nAA,JFK\n" * 100)
    unusable(path, "not a database")


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    alter(path, "CREATE TABLE runs (id)", "PRAGMA user_version = 1")
    unusable(path, "something else")
    alter(path, "PRAGMA user_version = 0")
    unusable(path, "something else")


def test_a_ledger_of_a_newer_keepfit_is_refused(ledger: SqliteLedger, path: Path) -> None:
    ledger.append([event(1)])
    ledger.close()
    alter(path, "PRAGMA user_version = 99")
    unusable(path, "newer keepfit")


def test_a_ledger_below_a_file_or_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    unusable(tmp_path / "file" / "ledger.db", "Not a directory")
    unusable(tmp_path, "unable to open")


def test_a_ledger_on_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with closing(SqliteLedger(tmp_path / "disk" / "ledger.db")) as ledger:
        ledger.append([event(1)])
    with read_only(tmp_path / "disk") as disk:
        with closing(SqliteLedger(disk / "ledger.db")) as ledger:
            assert ledger.get(event(1).id) == event(1)
            with pytest.raises(StoreError, match=r"(?i)read-?only"):
                ledger.append([event(2)])
        unusable(disk / "new.db", "unable to open|(?i:read-?only)")
        unusable(disk / "deep" / "new.db", "Read-only")


def test_a_full_disk_loses_nothing_and_heals(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=2048) as disk, closing(SqliteLedger(disk / "ledger.db")) as ledger:
        ledger.append([event(1)], [Move("n", None, event(1).id)])
        filler = fill(disk)
        _until_full(lambda n: ledger.append([event(n)], [Move("n", ledger.name("n"), event(n).id)]))
        written = ledger.find(Query(limit=10_000))
        assert event(1) in written
        assert ledger.name("n") == written[0].id
        with pytest.raises(StoreError):
            ledger.record("loss", [Point(n, n, NOON) for n in range(10_000)])
        assert ledger.points("loss") == []
        assert ledger.verify() is None
        filler.unlink()
        ledger.append([event(-1)], [Move("n", written[0].id, event(-1).id)])
        assert ledger.find(Query(limit=10_000)) == [event(-1), *written]
        assert ledger.verify() is None


def _until_full(write: Callable[[int], object]) -> None:
    for n in range(2, 10_000):
        try:
            write(n)
        except StoreError as problem:
            assert "full" in problem.message
            assert (problem.hint or "").startswith("df -h")
            return
    pytest.fail("the disk never filled up")


@pytest.mark.parametrize("url", ["sqllite:ledger.db", "ledger.db", "sqlite:", ":ledger.db", "mysql://there", ""])
def test_an_unknown_address_names_the_known_ones(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="`sqlite`"):
        open_ledger(url, tmp_path)


def test_sqlite_is_not_loaded_before_a_ledger_is_opened() -> None:
    unused = {"sqlite3", "keepfit.objects.folder"}
    code = f"import sys, keepfit.ledger, keepfit.objects; assert not {unused} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_forgotten_ledger_lets_go_of_its_file(path: Path) -> None:
    SqliteLedger(path).append([event(1)])
    gc.collect()
    assert path.name not in {Path(os.readlink(fd)).name for fd in Path("/proc/self/fd").iterdir() if fd.exists()}
    assert os.listdir(path.parent) == [path.name]
