"""What differs from one SQL database to the next, and the tables that every one of them holds a ledger in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Dialect(NamedTuple):
    """A database's ways: how columns are typed, how an attribute's value is kept."""

    integer: str
    real: str
    text: str
    """Compares by code points."""
    value: str
    key: Callable[[float | str], Any]
    """An attribute's value as it is kept: numbers sort before the empty text, each kind in its own order."""
    like: Callable[[str, str], tuple[str, str]]
    """From the name of a table of attributes and a pattern of `like`: the condition that a text fits, and its value."""
    by_key: str = ""
    """Ends the statement that makes a table, to keep its rows in the order of the key."""
    walked: str = ""
    """Written before a column whose index may be passed over, because a better one is walked in order."""


def tables(dialect: Dialect) -> list[str]:
    """The statements that lay a ledger out in an empty database."""
    integer, real, text, value = dialect.integer, dialect.real, dialect.text, dialect.value
    by_key = dialect.by_key
    return [
        f"""CREATE TABLE fact (
        seq {integer} PRIMARY KEY, id {text} NOT NULL UNIQUE, kind {text} NOT NULL, subject {text} NOT NULL,
        time {integer} NOT NULL, recorded {integer} NOT NULL, actor {text} NOT NULL,
        body {text} NOT NULL, refs {text} NOT NULL, attributes {text} NOT NULL, chain {text} NOT NULL)""",
        "CREATE INDEX fact_kind ON fact (kind, seq)",
        "CREATE INDEX fact_subject ON fact (subject, kind, seq)",
        "CREATE INDEX fact_time ON fact (kind, time)",
        f"""CREATE TABLE attribute (
        seq {integer} NOT NULL, name {text} NOT NULL, kind {text} NOT NULL,
        subject {text} NOT NULL, value {value} NOT NULL,
        PRIMARY KEY (seq, name)) {by_key}""",
        "CREATE INDEX attribute_value ON attribute (name, kind, value, seq, subject)",
        f"CREATE TABLE head (count {integer} NOT NULL, chain {text} NOT NULL)",
        "INSERT INTO head VALUES (0, '')",
        f"CREATE TABLE name (name {text} PRIMARY KEY, id {text} NOT NULL) {by_key}",
        f"""CREATE TABLE point (
        series {text} NOT NULL, step {integer} NOT NULL, value {real}, time {integer} NOT NULL,
        PRIMARY KEY (series, step)) {by_key}""",
    ]
