import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import KeepfitError, NameMoved, StoreError, UsageError
from keepfit.ledger import Fact, Move, Point, Query, Where, fact, open_ledger
from keepfit.ledger.postgres import _TERMS, PostgresLedger, _begin
from keepfit.testing import workers
from keepfit.testing.disks import fill, small_disk
from keepfit.testing.ledger import LedgerSuite
from keepfit.testing.postgres import _as_server, _binary, server

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of a database whose own order of texts is not that of their code points."""
    with server() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE keepfit TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
        yield url.replace("/postgres", "/keepfit")


def run(database: str, *statements: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def schema(database: str, root: Path) -> str:
    """The address of a schema that belongs to this root alone."""
    name = f"s{digest_bytes(bytes(root))[:16]}"
    run(database, f"CREATE SCHEMA IF NOT EXISTS {name}")
    return f"{database}?options=-csearch_path%3D{name}"


class TestPostgres(LedgerSuite):
    _root: Path | None = None

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _there(cls, database: str) -> None:
        cls.url = database

    def address(self, root: Path) -> str:
        """Of the one ledger, emptied for each new root: making its tables takes a while."""
        if root != self._root:
            type(self)._root = root
            with closing(open_ledger(self.url, root)):
                run(
                    self.url,
                    *(f"DELETE FROM {table}" for table in ("fact", "attribute", "name", "point")),
                    "UPDATE head SET count = 0, chain = ''",
                )
        return self.url


def event(number: int, **parts: Any) -> Fact:
    return fact("event", "test", time=NOON, key=number, body={"n": number}, attributes={"n": number, "t": "x"}, **parts)


@pytest.fixture
def url(database: str, tmp_path: Path) -> str:
    return schema(database, tmp_path)


@pytest.fixture
def ledger(url: str) -> Iterator[PostgresLedger]:
    opened = PostgresLedger(url)
    yield opened
    opened.close()


# addresses


def refused(url: str, match: str, error: type[KeepfitError] = StoreError) -> KeepfitError:
    with pytest.raises(error, match=match) as caught:
        open_ledger(url, Path())
    assert "s3cret" not in str(caught.value) and "s3cret" not in repr(caught.value.__cause__)
    return caught.value


def test_a_wrong_password_is_never_shown(database: str) -> None:
    told = refused(database.replace(":s3cret@", ":s3crets@"), "password authentication failed")
    assert "PGPASSWORD" in (told.hint or "")
    assert told.where == database.partition("@")[2]


@pytest.mark.parametrize(
    "address", ["postgresql://u:s3cret%x@h/db", "postgresql://u:s3cret@h/db?n=1", "postgresql:s3cret"]
)
def test_an_address_that_means_nothing_is_refused(address: str) -> None:
    refused(address, "not one that PostgreSQL understands", UsageError)


@pytest.mark.parametrize("address", ["postgress://u:s3cret@h/db", "x://u:p@s3cret:a/b@h", "pg://h?password=s3cret&a=b"])
def test_the_password_in_an_unknown_address_is_not_shown(address: str) -> None:
    refused(address, "not the address of a ledger", UsageError)


def test_what_is_missing_is_told(database: str) -> None:
    assert (
        refused(f"{database}x", '"keepfitx" does not exist').hint
        == f"createdb -h 127.0.0.1 -p {port(database)} keepfitx"
    )
    assert "CREATE SCHEMA" in str(refused(f"{database}?options=-csearch_path%3Dnone", "no schema").hint)
    nobody = database.replace(f":{port(database)}/", ":1/")
    assert refused(nobody, "refused").hint == "pg_isready -h 127.0.0.1 -p 1"
    refused("postgresql://u:s3cret@no-such-host.invalid/db?connect_timeout=2", "no-such-host")


def test_tables_of_something_else_are_left_alone(database: str, url: str) -> None:
    run(url, "CREATE TABLE name (of text)")
    assert "CREATE SCHEMA" in str(refused(url, "something else").hint)


def test_a_ledger_of_a_newer_keepfit_is_refused(ledger: PostgresLedger, url: str) -> None:
    run(url, "COMMENT ON TABLE head IS 'keepfit ledger 99'")
    refused(url, "newer keepfit")


def test_a_database_of_other_texts_is_refused(database: str) -> None:
    run(database, "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    refused(f"{database.rpartition('/')[0]}/ascii", "SQL_ASCII")


def test_a_server_that_only_reads_is_told(ledger: PostgresLedger, url: str) -> None:
    ledger.append([event(1)])
    with closing(open_ledger(f"{url}%20-cdefault_transaction_read_only%3Don", Path())) as replica:
        assert replica.find(Query()) == [event(1)]
        with pytest.raises(StoreError, match="read-only") as caught:
            replica.append([event(2)])
        assert "primary" in (caught.value.hint or "")


def test_psycopg_is_loaded_when_a_ledger_is_opened_and_told_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, keepfit.ledger; assert 'psycopg' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "keepfit.ledger.postgres")
    assert refused("postgres://h/db", "needs psycopg", UsageError).hint == "pip install 'keepfit[postgres]'"


# what is kept


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE fact SET body = '{}' WHERE seq = 3", "fact number 3"),
        ("DELETE FROM fact WHERE seq = 3", "fact number 3 is missing"),
        ("UPDATE attribute SET value = 'x' WHERE seq = 3 AND name = 'n'", "attributes of fact number 3"),
        ("DELETE FROM attribute WHERE seq = 3", "attributes of fact number 3"),
        ("INSERT INTO attribute VALUES (0, 'n', 'event', 'test', 'x')", "no fact"),
        ("UPDATE head SET count = 4", "not the last"),
        ("UPDATE name SET id = 'nothing'", "`pointer` points at `nothing`"),
    ],
)
def test_tampering_is_found(ledger: PostgresLedger, url: str, statement: str, told: str) -> None:
    ledger.append([event(n) for n in range(5)], [Move("pointer", None, event(0).id)])
    assert ledger.verify() is None
    run(url, statement)
    assert told in (ledger.verify() or "")


def test_a_long_history_is_verified_as_it_is_read(ledger: PostgresLedger) -> None:
    ledger.append([event(n) for n in range(4500)])
    assert ledger.verify() is None


def test_the_order_of_texts_does_not_follow_the_language_of_the_database(ledger: PostgresLedger) -> None:
    words = ["a", "B", "Z", "é", "z", "_", "\U0001f600"]
    ledger.append([fact("w", word, time=NOON, attributes={"word": word}) for word in words])
    found = ledger.find(Query(order="word", descending=False))
    assert [one.subject for one in found] == sorted(words)
    found = ledger.find(Query(where=(Where("word", ">", "a"),), order="word", descending=False))
    assert [one.subject for one in found] == sorted(word for word in words if word > "a")


def test_commits_wait_for_the_disk_whatever_the_session_says(url: str) -> None:
    with closing(PostgresLedger(f"{url}%20-csynchronous_commit%3Doff")) as ledger, ledger._pool.lend() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchall() == [("off",)]
        _begin(connection)
        assert connection.execute("SHOW synchronous_commit").fetchall() == [("on",)]


def test_the_planner_knows_what_the_ledger_holds(ledger: PostgresLedger, url: str) -> None:
    ledger.append([event(n) for n in range(2000)])
    with psycopg.connect(url) as connection:
        known = "SELECT reltuples FROM pg_class WHERE oid = 'fact'::regclass"
        assert connection.execute(known).fetchall() == [(2000,)]


def test_processes_that_open_a_new_ledger_at_once_all_do(url: str, tmp_path: Path) -> None:
    counting = [workers.start(workers.count, url, tmp_path, 3) for _ in range(4)]
    assert [process.communicate() and process.returncode for process in counting] == [0, 0, 0, 0]


# machines


def test_machines_at_work_on_one_ledger_lose_nothing(url: str, tmp_path: Path) -> None:
    homes = [tmp_path / f"machine-{n}" for n in range(4)]
    for home in homes:
        home.mkdir()
    counting = [workers.start(workers.count, url, home, 10) for home in homes]
    appending = [workers.start(workers.append, url, home) for home in homes[:2]]
    acknowledged = [id for worker in appending for id in workers.kill_at_random(worker)]
    assert [process.communicate() and process.returncode for process in counting] == [0, 0, 0, 0]
    with closing(PostgresLedger(url)) as ledger:
        history = [entry.fact for entry in ledger.history(limit=100_000)]
        assert [made.body["value"] for made in history if made.kind == "count"] == list(range(1, 41))
        assert {made.id for made in history} >= set(acknowledged)
        assert ledger.name("counter") == [made.id for made in history if made.kind == "count"][-1]
        assert ledger.verify() is None


# connections that end


def test_connections_that_were_ended_are_made_anew(ledger: PostgresLedger, database: str) -> None:
    with ThreadPoolExecutor(4) as busy:
        list(busy.map(ledger.name, "abcd"))
    for use in (lambda: ledger.append([event(1)]), lambda: ledger.find(Query(order="n")), ledger.verify):
        run(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keepfit'")
        use()
    assert ledger.find(Query()) == [event(1)]


class Wire:
    """Between a ledger and its server: passes all on, until it is told to break at the next commit."""

    def __init__(self, database: str) -> None:
        self._server = ("127.0.0.1", port(database))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.breaks: str | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for the next
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            behind = socket.create_connection(self._server)
            threading.Thread(target=self._up, args=(client, behind), daemon=True).start()
            threading.Thread(target=self._down, args=(client, behind), daemon=True).start()

    def _up(self, client: socket.socket, behind: socket.socket) -> None:
        since = b""  # the last commit
        with client, behind:
            while sent := self._received(client):
                since += sent
                if b"COMMIT" in since and b"INSERT" in since and (when := self.breaks):
                    self.breaks = None
                    client.shutdown(socket.SHUT_WR)  # the answer will not get through
                    if when == "after":
                        behind.sendall(sent)
                        time.sleep(0.3)
                    behind.shutdown(socket.SHUT_RDWR)
                    return
                if b"COMMIT" in since:
                    since = b""
                behind.sendall(sent)

    def _down(self, client: socket.socket, behind: socket.socket) -> None:
        try:
            while answer := self._received(behind):
                client.sendall(answer)
        except OSError:
            pass

    def _received(self, side: socket.socket) -> bytes:
        try:
            return side.recv(1 << 20)
        except OSError:
            return b""


@pytest.fixture
def wire(database: str) -> Iterator[Wire]:
    made = Wire(database)
    yield made
    with suppress(OSError):
        made.close()


@pytest.mark.parametrize("breaks", ["before", "after"])
def test_a_commit_whose_answer_was_lost_is_done_once(wire: Wire, url: str, database: str, breaks: str) -> None:
    with closing(PostgresLedger(url.replace(f":{port(database)}/", f":{wire.port}/"))) as ledger:
        ledger.append([event(0)])
        wire.breaks = breaks
        assert ledger.append([event(1), event(0)], [Move("n", None, event(1).id)]) == [event(1), event(0)]
        assert wire.breaks is None
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND application_name = 'keepfit'"
        with psycopg.connect(database) as connection:
            assert connection.execute(idle.encode()).fetchall() == [(0,)]
        wire.breaks = breaks
        ledger.append([], [Move("n", event(1).id, event(0).id)])
        wire.breaks = breaks
        ledger.record("loss", [Point(1, 2.0, NOON)])
        assert wire.breaks is None
        with pytest.raises(NameMoved):
            ledger.append([event(2)], [Move("n", event(1).id, event(2).id)])
        assert [entry.fact for entry in ledger.history()] == [event(0), event(1)]
        assert ledger.points("loss") == [Point(1, 2.0, NOON)]
        assert ledger.verify() is None


def test_a_machine_that_vanishes_in_a_commit_does_not_stop_the_others(ledger: PostgresLedger, url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as vanished:
        vanished.execute("BEGIN")
        vanished.execute(_TERMS.replace("30s", "1s").encode())
        vanished.execute("SELECT count FROM head FOR UPDATE")
        assert ledger.append([event(1)]) == [event(1)]


def test_an_outcome_that_stays_unknown_is_told(
    wire: Wire, url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepfit.ledger.postgres._PATIENCE", 0.2)
    with closing(PostgresLedger(url.replace(f":{port(database)}/", f":{wire.port}/"))) as ledger:
        ledger.append([event(0)])
        wire.breaks = "after"
        wire.close()
        with pytest.raises(StoreError, match="not known whether") as caught:
            ledger.append([event(1)])
        assert "not recorded twice" in (caught.value.hint or "")


@contextmanager
def own_server() -> Iterator[tuple[str, Callable[..., None]]]:
    """The address of a server, and what controls it as `pg_ctl` does."""
    with tempfile.TemporaryDirectory(prefix="keepfit-postgres-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        control = [_binary("pg_ctl"), "-D", f"{folder}/home/data", "-w", "-l", f"{folder}/home/log2", "-m", "immediate"]
        with server(Path(folder) / "home") as url:
            try:
                yield (
                    url,
                    lambda *verbs: subprocess.run([*control, *verbs], check=True, capture_output=True, **_as_server()),
                )
            finally:
                subprocess.run([*control, "stop"], capture_output=True, **_as_server())


def test_what_was_acknowledged_survives_a_crash_of_the_server(tmp_path: Path) -> None:
    told = dict[int, bool]()

    def write(writer: int) -> None:
        for n in range(writer, 4000, 4):
            if stop.is_set():
                return
            try:
                ledger.append([event(n)], [Move(f"n/{n}", None, event(n).id)])
                told[n] = True
            except StoreError:
                told[n] = False
                time.sleep(0.05)

    def wait_for_more() -> None:
        before, until = sum(told.values()), time.monotonic() + 120
        while sum(told.values()) < before + 20:
            assert time.monotonic() < until, "nobody writes any more"
            time.sleep(0.01)

    stop = threading.Event()
    with own_server() as (url, control), closing(PostgresLedger(url)) as ledger, ThreadPoolExecutor(4) as busy:
        killed = [workers.start(workers.append, url, tmp_path) for _ in range(2)]
        try:
            for writer in range(4):
                busy.submit(write, writer)
            acknowledged = [worker.stdout.readline().strip() for worker in killed if worker.stdout]
            for _ in range(2):
                wait_for_more()
                control("restart")
            wait_for_more()  # it goes on by itself
        finally:
            stop.set()
            acknowledged += [id for worker in killed for id in workers.kill_at_random(worker)]
            busy.shutdown()
        assert ledger.verify() is None
        held, names = {entry.fact.id for entry in ledger.history(limit=100_000)}, ledger.names("n/")
        assert held >= set(filter(None, acknowledged))
        for n, done in told.items():
            assert (event(n).id in held) == done == (f"n/{n}" in names)


def test_a_full_disk_loses_nothing_and_heals(database: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="keepfit-disk-") as folder:
        os.chmod(folder, 0o755)
        with small_disk(Path(folder) / "disk", kilobytes=24_000) as disk:
            subprocess.run(["chown", "postgres", str(disk)], check=True)
            run(database, f"CREATE TABLESPACE small LOCATION '{disk}'", "CREATE DATABASE small TABLESPACE small")
            try:
                _fill_and_heal(f"{database.rpartition('/')[0]}/small", disk)
            finally:
                run(database, "DROP DATABASE small WITH (FORCE)", "DROP TABLESPACE small")


def _fill_and_heal(url: str, disk: Path) -> None:
    with closing(PostgresLedger(url)) as ledger:
        ledger.append([event(1)], [Move("n", None, event(1).id)])
        filler = fill(disk)
        with pytest.raises(StoreError, match="No space left") as caught:
            for n in range(2, 10_000):
                ledger.append([event(n)], [Move("n", event(n - 1).id, event(n).id)])
        assert "df -h" in (caught.value.hint or "")
        written = ledger.find(Query(limit=10_000))
        assert ledger.name("n") == written[0].id
        filler.unlink()
        ledger.append([event(-1)], [Move("n", written[0].id, event(-1).id)])
        assert ledger.find(Query(limit=10_000)) == [event(-1), *written]
        assert ledger.verify() is None


def port(database: str) -> int:
    return int(database.rpartition(":")[2].partition("/")[0])
