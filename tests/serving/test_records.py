"""Labels and online rows: durable, idempotent, bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.core.errors import StoreError
from keepfit.serving.records import NEWEST, OnlineRow, Records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "serving" / "records.db")


def test_labels_come_back_for_the_predictions_asked_for(records: Records) -> None:
    records.store_labels({("", "a"): True, ("", "b"): 2.5, ("", "c"): "x'; DROP TABLE labels"}, 1)
    assert records.labels_of(["b", "c", "zz"]) == {"b": 2.5, "c": "x'; DROP TABLE labels"}
    assert records.labels_of([]) == {}
    assert records.count_labels() == 3


def test_labels_of_very_many(records: Records) -> None:
    truth = {f"p-{n}": n for n in range(100_000)}
    records.store_labels({("", id): label for id, label in truth.items()}, 1)
    assert records.labels_of(list(truth)) == truth


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(), st.integers(0, 5)), max_size=12))
def test_the_newest_delivery_wins_in_whatever_order_they_come(deliveries: list[tuple[str, int, int]]) -> None:
    with Records(Path(":memory:")) as records:
        for id, label, received in deliveries:
            records.store_labels({("", id): label}, received)
        for id in "abc":
            mine = [(received, n, label) for n, (i, label, received) in enumerate(deliveries) if i == id]
            assert records.labels_of([id]) == ({id: max(mine)[2]} if mine else {})


def online(key: str, time: int, value: int) -> OnlineRow:
    return OnlineRow(key.encode(), time, msgspec.msgpack.encode({"value": value}))


def test_of_each_key_the_newest_rows_stay(records: Records) -> None:
    records.store_rows("w", [online("a", t, t) for t in range(NEWEST + 50)])
    records.store_rows("w", [online("b", 1, 7), online("a", 3, -1), online("a", NEWEST + 49, -2)])
    records.store_rows("other", [online("a", 1, 8)])
    values = [row["value"] for row in records.rows_of("w")]
    assert values == [*range(50, NEWEST + 49), -2, 7]
    assert [row["value"] for row in records.rows_of("other")] == [8]


def test_another_connections_writes_are_noticed(records: Records, tmp_path: Path) -> None:
    records.store_labels({("", "a"): 1}, 1)
    records.changed_elsewhere()
    records.store_labels({("", "b"): 1}, 1)
    assert not records.changed_elsewhere()
    with Records(tmp_path / "serving" / "records.db") as other:
        other.store_labels({("", "c"): 1}, 1)
    assert records.changed_elsewhere()
    assert not records.changed_elsewhere()


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="records"):
        Records(tmp_path / "records.db").labels_of(["a"])


WRITER = """
import sys
from pathlib import Path
from keepfit.serving.records import Records
with Records(Path(sys.argv[1])) as records:
    for n in range(100000):
        records.store_labels({("", f"p-{n}-{k}"): n for k in range(10)}, n)
        print(n, flush=True)
"""


def test_what_was_acknowledged_survives_kill_and_nothing_is_half_there(records: Records, tmp_path: Path) -> None:
    path = tmp_path / "serving" / "records.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    for _ in range(20):
        last = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    rest = [int(line) for line in writer.stdout.read().split()]
    writer.stdout.close()
    last = max([last, *rest])
    assert records.count_labels() % 10 == 0
    assert records.labels_of([f"p-{n}-9" for n in range(last + 1)]) == {f"p-{n}-9": n for n in range(last + 1)}
