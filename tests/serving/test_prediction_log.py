"""The prediction log: nothing lost, nothing twice, whatever happens between journal and segment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from keepfit.datasets.read import DTYPES
from keepfit.serving import segments as segments_module
from keepfit.serving.ids import Ids
from keepfit.serving.journal import Record, Source, journals, packed
from keepfit.serving.log import Log, find_prediction, input_column, read_log, side_column, windows_of
from keepfit.serving.scorer import _packed
from keepfit.serving.segments import MANY, remove_replaced, segments

START = datetime(2013, 5, 1)
INPUTS = {"at": "timestamp", "x": "number", "id": "text"}


def source(version: int = 1, inputs: dict[str, Any] = INPUTS, levels: list[str] | None = None) -> msgspec.Raw:
    return packed(Source("toy", version, f"release-{version}", inputs, "at" if "at" in inputs else None, levels))


def micros(hours: float) -> int:
    return int((START + timedelta(hours=hours) - datetime(1970, 1, 1)) / timedelta(microseconds=1))


class Writer:
    """Appends rows whose event times are so many hours after START."""

    def __init__(self, folder: Path) -> None:
        self.ids = Ids()
        self.dropped = 0
        self.log = Log(folder, self.ids.instance, self._drop)
        self.log.start()

    def _drop(self, rows: int) -> None:
        self.dropped += rows

    def append(self, hours: Sequence[float], values: Sequence[Any] | None = None) -> list[str]:
        ids = self.ids.take(len(hours))
        columns = msgspec.msgpack.encode([[micros(h) for h in hours], list(hours), ["text"] * len(hours)])
        self.log.append(source(), ids, columns, values or [h / 10 for h in hours])
        return ids


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path)
    yield made
    made.log.close()


def test_logged_predictions_are_read_by_event_time(writer: Writer, tmp_path: Path) -> None:
    ids = writer.append([0, 1, 2, 3])
    writer.log.flush()
    ids += writer.append([4, 5])
    writer.log.flush()
    everything = read_log(tmp_path)
    assert everything["id"].to_list() == ids
    assert everything.columns[:6] == ["id", "time", "event_time", "model", "version", "release"]
    assert everything["prediction"].to_list() == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert everything["event_time"].to_list() == [START + timedelta(hours=h) for h in range(6)]
    window = read_log(tmp_path, START.replace(tzinfo=UTC) + timedelta(hours=1), START + timedelta(hours=4))
    assert window["x"].to_list() == [1, 2, 3]


def test_predictions_from_before_routes_were_logged_are_read_beside_new_ones(writer: Writer, tmp_path: Path) -> None:
    ids = writer.append([0, 1])
    writer.log.flush()
    (old,) = segments(tmp_path)
    pl.read_parquet(old.path).drop("route").write_parquet(old.path)
    assert read_log(tmp_path)["route"].to_list() == [None, None]
    assert find_prediction(tmp_path, ids[0])["route"] is None  # type: ignore[index]
    columns = msgspec.msgpack.encode([[micros(2)] * 2, [2.0] * 2, ["text"] * 2])
    ids += writer.ids.take(2)
    writer.log.append(source(), ids[2:], columns, [0.2, 0.2], route=["canary", "champion"])
    writer.log.flush()
    everything = read_log(tmp_path)
    assert everything["route"].to_list() == [None, None, "canary", "champion"]
    assert everything["id"].to_list() == ids
    assert everything.columns[6] == "route"


def test_a_record_from_before_routes_were_logged_is_read(tmp_path: Path) -> None:
    record = msgspec.msgpack.encode([["toy", 1, "r", INPUTS, "at", None], 0, ["a"], [[0], [1.0], ["t"]], [0.5]])
    assert msgspec.msgpack.decode(record, type=Record).route is None


def test_only_files_of_the_time_asked_for_are_opened(writer: Writer, tmp_path: Path) -> None:
    writer.append([0, 1])
    writer.log.flush()
    writer.append([100])
    writer.log.flush()
    old = segments(tmp_path)[0].path
    old.write_bytes(b"damaged")
    assert read_log(tmp_path, START + timedelta(hours=99))["x"].to_list() == [100]


def test_an_input_called_as_a_column_of_the_log_is_kept_beside_it(writer: Writer, tmp_path: Path) -> None:
    ids = writer.append([0])
    writer.log.flush()
    rows = read_log(tmp_path)
    assert (rows["id"].to_list(), rows[input_column("id")].to_list()) == (ids, ["text"])
    assert input_column("x") == "x"


def test_rows_without_an_answer_are_not_logged(writer: Writer, tmp_path: Path) -> None:
    writer.append([0, 1, 2], [0.5, None, 0.7])
    writer.append([3], [None])
    writer.log.flush()
    assert read_log(tmp_path)["x"].to_list() == [0, 2]


def test_an_id_that_comes_twice_counts_once_and_the_newest_wins(writer: Writer, tmp_path: Path) -> None:
    columns = msgspec.msgpack.encode([[micros(1)], [1.0], ["text"]])
    writer.log.append(source(1), ["mine"], columns, [0.1])
    writer.log.flush()
    writer.log.append(source(2), ["mine"], columns, [0.2])
    assert find_prediction(tmp_path, "mine")["version"] == 2  # type: ignore[index]
    writer.log.flush()
    assert read_log(tmp_path)["version"].to_list() == [2]
    assert find_prediction(tmp_path, "mine")["version"] == 2  # type: ignore[index]


def test_versions_with_other_inputs_and_kinds_of_answers_stand_side_by_side(writer: Writer, tmp_path: Path) -> None:
    writer.append([0])
    columns = msgspec.msgpack.encode([["EWR", "JFK"], [15000, None]])
    other = source(2, {"place": "category", "day": "date"}, ["high", "low"])
    writer.log.append(other, ["a", "b"], columns, [[0.9, 0.1], [0.2, 0.8]])
    writer.log.flush()
    rows = read_log(tmp_path).sort("version", maintain_order=True)
    assert rows["prediction"].to_list() == ["0.0", "high", "low"]
    assert rows["probabilities"].to_list() == [None, [0.9, 0.1], [0.2, 0.8]]
    assert rows["x"].to_list() == [0, None, None]
    assert rows.filter(pl.col("version") == 2)["event_time"].to_list() == rows["time"].to_list()[1:]


def test_a_prediction_is_found_in_journal_and_segment_and_after_a_merge(writer: Writer, tmp_path: Path) -> None:
    ids = []
    for n in range(MANY + 3):
        ids += writer.append([n])
        assert find_prediction(tmp_path, ids[-1])["x"] == n  # type: ignore[index]
        writer.log.flush()
    assert len(segments(tmp_path)) < MANY
    for n, id in enumerate(ids):
        assert find_prediction(tmp_path, id)["x"] == n  # type: ignore[index]
    assert sorted(read_log(tmp_path)["id"]) == sorted(ids)
    assert find_prediction(tmp_path, "p-" + "0" * 24) is None
    assert find_prediction(tmp_path, "champion") is None
    assert find_prediction(tmp_path / "nothing", ids[0]) is None


def test_event_times_that_must_be_mistakes_are_logged_at_the_time_of_the_answer(writer: Writer, tmp_path: Path) -> None:
    far = [-(2**60), -1, 0, None, 2**52, 2**60]
    columns = msgspec.msgpack.encode([far])
    writer.log.append(source(1, {"at": "timestamp"}), list("abcdef"), columns, list(range(6)))
    writer.log.flush()
    rows = read_log(tmp_path)
    assert rows["prediction"].to_list() == list(range(6))
    assert rows.filter(pl.col("event_time") != pl.col("time"))["id"].to_list() == ["c"]


def test_only_windows_that_hold_predictions_are_given(writer: Writer, tmp_path: Path) -> None:
    day, early = timedelta(days=1), datetime(1970, 1, 1, tzinfo=UTC)
    writer.append([0, 1, 50, -24 * 365 * 30])
    writer.log.flush()
    writer.append([2, 30])
    writer.log.flush()
    writer.append([75])
    writer.log.flush()
    start = START.replace(tzinfo=UTC)
    assert windows_of(tmp_path, early, day) == [start - 365 * 30 * day, *(start + n * day for n in range(4))]
    assert windows_of(tmp_path, start + 2 * day, day) == [start + 2 * day, start + 3 * day]
    assert windows_of(tmp_path, start + 4 * day, day) == []


def copies(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def test_a_crash_after_the_segment_and_before_the_journal_goes_repeats_nothing(writer: Writer, tmp_path: Path) -> None:
    ids = writer.append([0, 1, 2])
    before = copies(tmp_path, tmp_path.parent / "before")
    writer.log.flush()
    for path in journals(before):
        shutil.copy(path, tmp_path / path.name)
    again = Writer(tmp_path)
    again.log.close()
    assert read_log(tmp_path)["id"].to_list() == ids
    assert journals(tmp_path) == [p for p in journals(tmp_path) if p.stem not in {b.stem for b in journals(before)}]


def test_a_crash_in_the_middle_of_a_merge_repeats_nothing(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(folder: Path) -> None:
        raise RuntimeError("crash")

    ids = []
    for n in range(MANY - 1):
        ids += writer.append([n])
        writer.log.flush()
    ids += writer.append([99])
    monkeypatch.setattr(segments_module, "remove_replaced", crash)
    with pytest.raises(RuntimeError):
        writer.log.flush()
    assert len(list(tmp_path.glob("*.parquet"))) == MANY + 1
    assert sorted(read_log(tmp_path)["id"]) == sorted(ids)
    remove_replaced(tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    assert sorted(read_log(tmp_path)["id"]) == sorted(ids)


def test_a_torn_tail_costs_only_itself(writer: Writer, tmp_path: Path) -> None:
    ids = writer.append([0, 1])
    later = copies(tmp_path, tmp_path.parent / "later")
    writer.append([2])
    whole, cut = journals(tmp_path)[0].read_bytes(), len(journals(later)[0].read_bytes())
    for keep in (cut + 1, cut + 8, cut + 20, len(whole) - 1):
        torn = tmp_path.parent / f"torn {keep}"
        copies(later, torn)
        journals(torn)[0].write_bytes(whole[:keep])
        Writer(torn).log.close()
        assert read_log(torn)["id"].to_list() == ids


def test_a_clock_set_back_between_two_starts_hides_nothing(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = writer.append([0])
    writer.log.close()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
    again = Writer(tmp_path)
    ids += again.append([1])
    again.log.close()
    assert sorted(read_log(tmp_path)["id"]) == sorted(ids)
    assert len(segments(tmp_path)) == 2


CRASHER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_prediction_log import *
writer = Writer(Path(sys.argv[1]))
n = 0
while True:
    ids = writer.append([n, n + 0.5])
    print(*ids, flush=True)
    n += 1
    if n % 7 == 0:
        writer.log.flush()
"""


def test_kill_at_any_moment_loses_and_repeats_nothing(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "log", set[str]()
    for round in range(4):
        command = [sys.executable, "-c", CRASHER, str(folder), str(Path(__file__).parent)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout
        for _ in range(30 + 23 * round):
            acknowledged.update(child.stdout.readline().split())
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        for line in child.stdout.read().splitlines():
            acknowledged.update(id for id in line.split() if len(id) == 26)
        child.stdout.close()
    Writer(folder).log.close()
    rows = pl.concat([pl.read_parquet(s.path) for s in segments(folder)])["id"].to_list()
    assert len(rows) == len(set(rows))
    assert acknowledged <= set(rows)
    assert journals(folder) == [] or all(p.stat().st_size == 0 for p in journals(folder))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("this machine lets us mount nothing")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_costs_the_log_only_what_does_not_fit(small_disk: Path) -> None:
    writer = Writer(small_disk)
    kept: list[str] = []
    while writer.dropped == 0:
        before = writer.dropped
        ids = writer.append([n / 10 for n in range(100)])
        kept += ids if writer.dropped == before else []
    for path in small_disk.glob("*.filler"):
        path.unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    kept += writer.append([7])
    writer.log.close()
    assert writer.dropped == 100
    assert sorted(read_log(small_disk)["id"]) == sorted(kept)


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = Writer(tmp_path / "file" / "log")
    writer.append([1, 2])
    writer.log.close()
    assert writer.dropped == 2


def test_what_was_joined_is_logged_with_the_answer(writer: Writer, tmp_path: Path) -> None:
    """Beside records and segments of early versions, and of versions with other side datasets."""
    types: dict[str, Any] = {"at": "timestamp", "day": "date", "n": "integer", "v": "number", "k": "text", "b": "bool"}
    whole = (START, START.date(), 3, 0.1, "text", True)
    schema = {name: DTYPES[type] for name, type in types.items()}
    early = writer.append([1.0])[0]
    joined: dict[str, dict[str, Any] | None] = {early: None}
    for number, rows in enumerate(([whole, (None,) * 6], [whole], [(None,) * 6])):
        sides = {"weather": types} if number < 2 else {"weather": {**types, "new": "number"}, "other": types}
        side = pl.DataFrame(rows, schema=schema, orient="row")
        frames = {"weather": side} if number < 2 else {"weather": side.with_columns(new=pl.lit(2.5)), "other": side}
        ids = writer.ids.take(len(rows))
        hours = [float(number)] * len(rows)
        columns = msgspec.msgpack.encode([[micros(h) for h in hours], hours, ["text"] * len(rows)])
        told = packed(Source("toy", 1, "release-1", INPUTS, "at", None, sides))  # type: ignore[arg-type]
        writer.log.append(told, ids, columns, [0.5] * len(rows), sides=_packed(frames))
        joined |= zip(ids, frames["weather"].to_dicts(), strict=True)
        if number == 0:
            writer.log.flush()
    for _ in range(2):
        for id, expected in joined.items():
            found = find_prediction(tmp_path, id)
            assert found is not None
            row = found[side_column("weather")]
            assert row == expected or row | expected == row
        writer.log.flush()
    merged = read_log(tmp_path)
    assert dict(zip(merged["id"], merged[side_column("weather")].struct.field("v"), strict=True)) == {
        id: row and row["v"] for id, row in joined.items()
    }
    assert merged.filter(id=early)[side_column("weather")].to_list() == [None]
