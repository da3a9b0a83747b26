from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from keepfit.core.digests import digest_bytes
from keepfit.ledger import open_ledger
from keepfit.testing.ledger import LedgerSuite
from keepfit.testing.postgres import server


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
