"""A ledger in a PostgreSQL database, shared by machines."""

from __future__ import annotations

import itertools
import logging
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import StoreError, UsageError
from keepfit.core.pool import Pool
from keepfit.ledger.dialect import Dialect, tables
from keepfit.ledger.row import COLUMNS, Row
from keepfit.ledger.select import Run, Sql
from keepfit.ledger.settle import Changes, State, Writes, asked, settle
from keepfit.ledger.table import TableLedger
from keepfit.ledger.verify import verify

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # what matters comes as an error

T = TypeVar("T")
Connection = psycopg.Connection[Any]

_MARK = "keepfit ledger "
"""The comment on the table `head`, with the version: tells a ledger from other tables."""
_VERSION = 1
_LOCK = 0x6B666974
"""`kfit`: held while the tables are made."""
_PATIENCE = 30.0
"""Seconds to look for a server again when it is not known whether it recorded a write."""
_DEFAULTS = {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 60_000, "application_name": "keepfit"}
_WHOLE = 900
"""Bytes of a text that are compared; what goes beyond is told apart by its digest, but has no order."""


def _key(value: float | str) -> bytes:
    """Bytes that compare as the values do, numbers before the empty text."""
    if isinstance(value, str):
        text = value.encode()
        return b"\2" + (text if len(text) <= _WHOLE else text[:_WHOLE] + digest_bytes(text)[:32].encode())
    bits: int = struct.unpack(">Q", struct.pack(">d", value + 0.0))[0]  # no -0.0
    return b"\1" + struct.pack(">Q", bits ^ (2**64 - 1 if bits >> 63 else 1 << 63))


_LIKE = """{0}.value >= '\\x02' AND EXISTS (SELECT 1 FROM fact WHERE fact.seq = {0}.seq
    AND fact.attributes::jsonb ->> {0}.name LIKE ? ESCAPE '')"""
"""In the fact, where a long text is whole."""
_TERMS = f"""SELECT set_config('enable_seqscan', 'off', true),
    set_config('idle_in_transaction_session_timeout', '{_PATIENCE:.0f}s', true),
    CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END"""
"""Of a transaction that writes: rows are looked up by their keys, all others need not wait for a machine that is gone,
and the disk is waited for."""


class PostgresLedger(TableLedger):
    """The ledger in the database at `url`, whose tables are made when they are not there yet.

    See `Ledger` for what it promises. Appends of all machines follow one another, each commit
    flushed by the server before it is acknowledged. A connection that is lost is made anew; when
    it is lost during a commit, the ledger looks whether it came about. Raises UsageError when the
    address cannot be understood, StoreError when the database cannot be used.
    """

    dialect = Dialect(
        integer="bigint",
        real="double precision",
        text='text COLLATE "C"',
        value="bytea",
        key=_key,
        like=lambda table, pattern: (_LIKE.format(table), pattern),
    )

    def __init__(self, url: str) -> None:
        super().__init__()
        try:
            self._parts: dict[str, Any] = _DEFAULTS | conninfo_to_dict(url)
        except psycopg.Error:  # what it says may hold the password
            hint = "write postgresql://user@host:5432/database, with % as %25 and @ as %40 in a password"
            raise UsageError("the ledger's address is not one that PostgreSQL understands", hint=hint) from None
        self._pool: Pool[Connection] = Pool(self._connect)
        self._use(self._prepare)

    def verify(self) -> str | None:
        def check(connection: Connection) -> str | None:
            with _snapshot(connection), ExitStack() as ends:
                number = itertools.count()

                def read(text: str) -> Iterator[Any]:
                    cursor = ends.enter_context(connection.cursor(f"c{next(number)}"))
                    cursor.itersize = 2000
                    return iter(cursor.execute(text.encode()))

                return verify(read, self.dialect)

        return self._use(check)

    def close(self) -> None:
        self._pool.close()

    def _read(self, sql: Sql) -> list[Any]:
        return self._use(lambda connection: _rows(connection, sql))

    def _together(self, read: Callable[[Run], T]) -> T:
        def run(connection: Connection) -> T:
            with _snapshot(connection):
                return read(lambda sql: _rows(connection, sql))

        return self._use(run)

    def _commit(self, writes: Writes) -> None:
        commit = _Commit(writes)
        self._use(commit, unsure=lambda: commit.sent is not None)
        if commit.sent is not None and _has_grown(commit.sent):
            with suppress(StoreError):  # its statistics are a help, no more
                self._use(_analyze)

    def _use(self, work: Callable[[Connection], T], *, unsure: Callable[[], bool] = lambda: False) -> T:
        """What the work gives back; done again on a new connection when the old one was lost."""
        until, tries = time.monotonic() + _PATIENCE, 0
        while True:
            try:
                with self._pool.lend() as connection, _told_when_lost(connection):
                    return work(connection)
            except psycopg.Error as problem:
                again = time.monotonic() < until if unsure() else isinstance(problem, _Lost) and not tries
                if not again:
                    raise self._told(problem, unsure=unsure()) from problem
            self._pool.drop()
            time.sleep(min(0.5, 0.05 * tries))
            tries += 1

    def _connect(self) -> Connection:
        return psycopg.connect(make_conninfo("", **self._parts), autocommit=True, client_encoding="utf8")

    def _prepare(self, connection: Connection) -> None:
        if self._is_there(connection):
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            if not self._is_there(connection):  # nobody else has made them meanwhile
                self._create(connection)

    def _is_there(self, connection: Connection) -> bool:
        # from pg_class, whose lock is taken first: else what others have made meanwhile may not be seen
        mark = "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass('head')"
        comment = next((row[0] or "" for row in connection.execute(mark)), "")
        if not comment.startswith(_MARK):
            return False
        if int(comment.removeprefix(_MARK)) > _VERSION:
            raise self._unusable("it was written by a newer keepfit", hint="pip install --upgrade keepfit")
        return True

    def _create(self, connection: Connection) -> None:
        taken = "SELECT count(to_regclass(name)) FROM unnest('{fact,attribute,head,name,point}'::text[]) AS name"
        if connection.execute(taken).fetchall() != [(0,)]:
            hint = "CREATE SCHEMA keepfit, and end the address with ?options=-csearch_path%3Dkeepfit"
            raise self._unusable("it holds tables of something else", hint=hint)
        encoding = connection.execute("SHOW server_encoding").fetchall()[0][0]
        if encoding != "UTF8":
            hint = "createdb --encoding UTF8 --template template0 keepfit"
            raise self._unusable(f"its texts are {encoding}", hint=hint)
        for statement in tables(self.dialect):
            connection.execute(statement.encode())
        connection.execute(f"COMMENT ON TABLE head IS '{_MARK}{_VERSION}'".encode())

    def _told(self, problem: Exception, *, unsure: bool) -> StoreError | UsageError:
        """What PostgreSQL says, in the user's words."""
        if isinstance(problem, psycopg.DataError):
            return UsageError(f"the ledger cannot hold this: {_line(problem)}")
        if unsure:
            return self._unusable(
                f"it is not known whether the last write was recorded: {_line(problem)}",
                hint="repeat the command: what is recorded is not recorded twice",
            )
        text, code = _line(problem), getattr(problem, "sqlstate", None) or ""
        for sign, hint in _HINTS.items():
            if sign in text or code == sign:
                return self._unusable(text, hint=hint.format(server=self._server(), **self._named()))
        return self._unusable(text, hint=f"pg_isready {self._server()}")

    def _unusable(self, reason: str, *, hint: str) -> StoreError:
        where = "{host}:{port}/{dbname}".format(**self._named())
        return StoreError(f"cannot use the ledger in PostgreSQL: {reason}", where=where, hint=hint)

    def _server(self) -> str:
        return "-h {host} -p {port}".format(**self._named())

    def _named(self) -> dict[str, Any]:
        return {"host": "localhost", "port": 5432, "dbname": "", "user": ""} | self._parts | {"password": ""}


_HINTS = {
    "password": "set the password in ~/.pgpass, in PGPASSWORD, or in the ledger's address",
    "28000": "set the user and password in the ledger's address",
    "No space left": "df -h, on the database's machine",
    "53100": "df -h, on the database's machine",
    "25006": "use the address of the primary: this server only reads",
    "3F000": "create the schema that the address names: CREATE SCHEMA ...",
    "42501": "grant the user of the address CREATE, USAGE, SELECT, INSERT and UPDATE there",
    "53300": "raise max_connections, or stop what else is connected",
    'database "': "createdb {server} {dbname}",
}
"""A code, or part of what PostgreSQL says -> what helps."""


class _Commit:
    """Writes on their way: tried once, and again when it is not known what came of that."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes
        self.sent: Changes | None = None

    def __call__(self, connection: Connection) -> None:
        ids, names = asked(self._writes)
        if ids or names:
            state = _state(connection, ids, names)
            if self.sent is not None and _came_about(connection, self.sent, state):
                connection.execute("COMMIT")
                return
        else:  # points only: nobody need wait
            state = State(0, "", {}, {})
        self.sent = settle(self._writes, state)
        try:
            _write(connection, self.sent)
        except psycopg.Error as problem:
            if not _is_lost(connection, problem):  # then it has been rolled back
                self.sent = None
            raise


def _state(connection: Connection, ids: Sequence[str], names: Sequence[str]) -> State:
    """What the ledger holds; it is ours to change until the end of the transaction, which begins here."""
    with connection.pipeline():
        _begin(connection)
        head = connection.execute("SELECT count, chain FROM head FOR UPDATE")
        facts = connection.execute(f"SELECT {COLUMNS} FROM fact WHERE id = ANY(%s)".encode(), [ids])
        pointers = connection.execute("SELECT name, id FROM name WHERE name = ANY(%s)", [names])
    ((count, chain),) = head.fetchall()
    return State(count, chain, {row[0]: Row(*row) for row in facts}, dict(pointers.fetchall()))


def _begin(connection: Connection) -> None:
    connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
    connection.execute(_TERMS.encode())


def _came_about(connection: Connection, sent: Changes, state: State) -> bool:
    """Whether a transaction whose end was not seen was committed; ours has waited for its end."""
    if not sent.facts:
        return bool(sent.names) and sent.names.items() <= state.names.items()
    last = sent.facts[-1]
    return connection.execute("SELECT 1 FROM fact WHERE seq = %s AND chain = %s", last[0:3:2]).fetchone() is not None


def _write(connection: Connection, changes: Changes) -> None:
    """Write all, and commit."""
    with connection.pipeline():
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            _begin(connection)
        if changes.facts:
            last = changes.facts[-1]
            connection.execute("UPDATE head SET count = %s, chain = %s", [last.seq, last.chain])
        fact = f"fact (seq, recorded, chain, {COLUMNS})"
        _insert(connection, fact, "int8 int8 text text text text int8 text text text text", changes.fact_rows())
        _insert(connection, "attribute", "int8 text text text bytea", changes.attribute_rows(_key))
        update = "ON CONFLICT (name) DO UPDATE SET id = excluded.id"
        _insert(connection, "name", "text text", list(changes.names.items()), update)
        update = "ON CONFLICT (series, step) DO UPDATE SET value = excluded.value, time = excluded.time"
        # sorted, so that two who write the same steps do not wait for each other
        _insert(connection, "point", "text int8 float8 int8", sorted(changes.points.values()), update)
        connection.execute("COMMIT")


def _has_grown(written: Changes) -> bool:
    """Whether the ledger has four times the facts it had when last looked at."""
    first, last = (written.facts[0].seq, written.facts[-1].seq) if written.facts else (0, 0)
    return last >= 1024 and (first - 1).bit_length() // 2 < last.bit_length() // 2


def _analyze(connection: Connection) -> None:
    """Let the planner know what there is, without which it may take hundreds of times as long."""
    connection.execute("ANALYZE fact, attribute")


def _insert(connection: Connection, table: str, types: str, rows: Sequence[tuple[Any, ...]], rest: str = "") -> None:
    if rows:
        arrays = ", ".join(f"%b::{type}[]" for type in types.split())
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.execute(f"INSERT INTO {table} SELECT * FROM unnest({arrays}) {rest}".encode(), columns)


def _rows(connection: Connection, sql: Sql) -> list[Any]:
    # never a plan for all values: the best index depends on them
    return connection.execute(sql.text.replace("?", "%s").encode(), sql.values, prepare=False).fetchall()


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    """Let all reads of the block see the same facts."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    yield
    connection.execute("COMMIT")


class _Lost(psycopg.OperationalError):
    """The connection broke while it was in use."""


@contextmanager
def _told_when_lost(connection: Connection) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as problem:
        if _is_lost(connection, problem):
            raise _Lost(*problem.args) from problem
        raise


def _is_lost(connection: Connection, problem: psycopg.Error) -> bool:
    return connection.broken or (problem.sqlstate or "").startswith(("08", "57P"))  # the server goes down, or comes up


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())
