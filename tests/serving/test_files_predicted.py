"""Files of any size, predicted part by part: whole or not at all, each row once, and the same after any kill."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from serving_kit import MODEL, log_folder, open_home, package, release, row

import keepfit
from keepfit.core.errors import ContractBroken, DataError, NotFound, Refused, UsageError, UserCodeError
from keepfit.core.files import locked
from keepfit.history import history
from keepfit.home import Home
from keepfit.predicting import parts
from keepfit.predicting.batch import Done, predict_batch
from keepfit.predicting.job import Settings
from keepfit.serving.log import read_log

HEIGHT = 2_500


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Version 2 is live; parts are small."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "keepfit.toml").write_text(f'model = "{MODEL}"\n')
    monkeypatch.setattr(parts, "BYTES", 1)
    monkeypatch.setattr(parts, "_SAMPLE", 300)
    home = open_home(root)
    release(home, 2, package(home, 2))
    yield home
    home.ledger.close()


def table(height: int = HEIGHT, **columns: Any) -> pl.DataFrame:
    start = datetime(2013, 5, 2)
    made = {
        "customer": [f"c{i}" for i in range(height)],
        "at": [start + timedelta(minutes=i) for i in range(height)],
        "x": [float(i) / 8 for i in range(height)],
        "note": pl.Series([None] * height, dtype=pl.String),
        "level": ["low", "high"] * (height // 2),
        "place": ["EWR"] * height,
    }
    return pl.DataFrame({**made, **columns})


def done(home: Home, *inputs: Path, out: Path, **settings: Any) -> Done:
    wanted = Settings(**{"inputs": [str(i) for i in inputs], "out": out, "model": MODEL, **settings})
    return predict_batch(home, MODEL, wanted)


def asked(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("customer")


def left(home: Home) -> list[Path]:
    return [p for p in (home.folder / "work" / "batches").glob("*") if p.suffix != ".lock"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_rows_come_out_in_order_with_the_models_answers(home: Home, tmp_path: Path, kind: str, to: str) -> None:
    rows = table()
    file, out = tmp_path / f"in.{kind}", tmp_path / f"out.{to}"
    rows.write_parquet(file) if kind == "parquet" else rows.write_csv(file)
    made = done(home, file, out=out)
    found = pl.read_parquet(out) if to == "parquet" else pl.read_csv(out, try_parse_dates=True)
    assert (made.rows, made.refused, made.kept, made.version) == (HEIGHT, 0, 0, 2)
    assert found.columns == [*rows.columns, "prediction id", "prediction"]
    assert found["customer"].to_list() == rows["customer"].to_list() and found["x"].to_list() == rows["x"].to_list()
    assert found["prediction id"].n_unique() == HEIGHT and found["prediction id"].is_sorted()
    assert (
        found["prediction"].to_list()
        == keepfit.load(MODEL, project=home.root).predict(asked(rows)).predictions.tolist()
    )
    assert not left(home)


def test_answers_are_logged_once_and_the_batch_is_a_fact(home: Home, tmp_path: Path) -> None:
    file, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table().write_parquet(file)
    made = done(home, file, out=out)
    before = out.read_bytes()
    again = done(home, file, out=out)
    assert (again.id, again.kept, out.read_bytes()) == (made.id, HEIGHT, before)
    out.unlink()
    assert done(home, file, out=out).id == made.id and out.read_bytes() == before
    logged = read_log(log_folder(home.root))
    assert logged.height == HEIGHT and set(logged["route"]) == {"batch"} and set(logged["version"]) == {2}
    assert logged["id"].to_list() == pl.read_parquet(out)["prediction id"].to_list()
    assert logged["prediction"].to_list() == pl.read_parquet(out)["prediction"].to_list()
    assert logged["event_time"].to_list() == table()["at"].to_list() and "customer" not in logged.columns
    (event,) = history(home, kinds=["batch"])
    assert event.text == "version 2: 2,500 rows of in.parquet -> out.parquet"
    assert done(home, file, out=tmp_path / "quiet.parquet", logged=False).rows == HEIGHT
    assert read_log(log_folder(home.root)).height == HEIGHT


def test_several_files_and_globs(home: Home, tmp_path: Path) -> None:
    for i in range(3):
        table().slice(i * 700, 700).write_parquet(tmp_path / f"in-{i}.parquet")
    done(home, tmp_path / "in-*.parquet", out=tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet")["customer"].to_list() == [f"c{i}" for i in range(2100)]
    table().drop("customer").write_parquet(tmp_path / "in-9.parquet")
    with pytest.raises(DataError, match=r"`in-9\.parquet` has other columns than `in-0\.parquet`: `customer`"):
        done(home, tmp_path / "in-*.parquet", out=tmp_path / "more.parquet")


def test_a_at_fails_the_batch_before_anything_is_written(home: Home, tmp_path: Path) -> None:
    text = table().with_columns(pl.col("x").cast(pl.String))
    text[1_704, "x"] = "much"
    out = tmp_path / "out.csv"
    for suffix, place in ((".csv", "line 1,706"), (".parquet", "row 1,705")):
        file = tmp_path / f"in{suffix}"
        text.write_csv(file) if suffix == ".csv" else text.write_parquet(file)
        with pytest.raises(
            ContractBroken, match=r"`x` cannot be `\"much\"`: expected a number.*received \"much\""
        ) as e:
            done(home, file, out=out)
        assert e.value.where == f"{file}, {place}, column x" and "--bad skip" in (e.value.hint or "")
        assert not out.exists() and not read_log(log_folder(home.root)).height
        assert not home.ledger.get("batch") and not history(home, kinds=["batch"])


def wrong() -> pl.DataFrame:
    rows = table().with_columns(pl.col("x").cast(pl.String))
    rows[5, "x"], rows[6, "x"], rows[7, "level"], rows[1_999, "at"] = "1e9", None, "lwo", None
    rows[8, "note"], rows[2_400, "note"] = "raise", "inf"
    return rows


BAD = {
    5: ("x", "expected a number"),
    6: ("x", "received null"),
    7: ("level", "did you mean `low`?"),
    8: (None, "the model raised an error on this row"),
    1_999: ("at", "received null"),
    2_400: (None, "no finite number"),
}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_ats_are_told_of_beside(home: Home, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"in.{suffix}"
    wrong().write_csv(file) if suffix == "csv" else wrong().write_parquet(file)
    for bad in ("skip", "null"):
        made = done(home, file, out=tmp_path / f"{bad}.parquet", bad=bad)
        found = pl.read_parquet(tmp_path / f"{bad}.parquet")
        good = [i for i in range(HEIGHT) if i not in BAD]
        assert (made.rows, made.refused) == (HEIGHT, len(BAD))
        if bad == "null":
            assert found.height == HEIGHT and found["prediction"].is_null().arg_true().to_list() == sorted(BAD)
            found = found[good]
        assert found["prediction"].to_list() == [2000 + i / 8 for i in good]
        assert made.refused_file
        refused = pl.read_parquet(made.refused_file)
        assert refused["row"].to_list() == [at + 1 for at in sorted(BAD)]
        assert refused["customer"].to_list() == [f"c{at}" for at in sorted(BAD)]
        for told, (feature, reason) in zip(refused.to_dicts(), (BAD[at] for at in sorted(BAD)), strict=True):
            assert told["file"] == file.name and told["feature"] == feature and reason in told["reason"]
    assert read_log(log_folder(home.root)).height == 2 * (HEIGHT - len(BAD))


def test_a_model_that_raises_fails_the_batch_with_its_place(home: Home, tmp_path: Path) -> None:
    file, rows = tmp_path / "in.parquet", table()
    for note, told in (("raise", "secret words"), ("inf", "no finite number")):
        rows[2_000, "note"] = note
        rows.write_parquet(file)
        with pytest.raises(UserCodeError, match=told):
            done(home, file, out=tmp_path / "out.parquet")


def test_what_cannot_be_read_or_written_is_said_first(home: Home, tmp_path: Path) -> None:
    out, file = tmp_path / "out.parquet", tmp_path / "in.parquet"
    table().write_parquet(file)
    with pytest.raises(NotFound, match="no file matches"):
        done(home, tmp_path / "none*.parquet", out=out)
    with pytest.raises(UsageError, match="is to be read and to be written"):
        done(home, file, out=file)
    with pytest.raises(DataError, match="has no column `level`, which the model needs") as caught:
        table().rename({"level": "levl"}).write_parquet(file)
        done(home, file, out=out)
    assert caught.value.hint == "did you mean `levl`?"
    with pytest.raises(DataError, match="has no rows"):
        table().clear().write_parquet(file)
        done(home, file, out=out)
    for content in (b"PAR1 this is none", b""):
        file.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            done(home, file, out=out)
    broken = tmp_path / "in.csv"
    broken.write_text("at,x,note,level,place,customer\n2013-05-02 10:00,1,,low,EWR,c\n2013-05-02 10:00,1,,low,EWR\n")
    with pytest.raises(DataError, match=r"line 3 of `in\.csv` has 5 fields"):
        done(home, broken, out=out)
    with pytest.raises(NotFound, match="no model `7`"):
        done(home, broken, out=out, model=f"{MODEL}@7")


def test_a_file_that_changes_meanwhile_is_noticed(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table().write_parquet(file)

    def change(_: str) -> None:
        table(x=1.0).write_parquet(file)

    wanted = Settings(inputs=[str(file)], out=out, model=MODEL)
    with pytest.raises(DataError, match="was changed while it was being predicted"):
        predict_batch(home, MODEL, wanted, told=lambda text: change(text) if "rows" in text else None)
    assert not out.exists() and len(left(home)) == 1
    notes: list[str] = []
    predict_batch(home, MODEL, wanted, note=notes.append)
    assert len(notes) == 1 and "begins anew" in notes[0] and not left(home)
    assert set(pl.read_parquet(out)["prediction"]) == {2001.0}


def test_two_at_once_do_not_disturb_each_other(home: Home, tmp_path: Path) -> None:
    file, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table().write_parquet(file)

    def second(text: str) -> None:
        if "rows" in text:
            with pytest.raises(Refused, match="another process"):
                done(home, file, out=out)

    predict_batch(home, MODEL, Settings(inputs=[str(file)], out=out, model=MODEL), told=second)
    assert pl.read_parquet(out).height == HEIGHT


RUN = """
import sys
from pathlib import Path
from keepfit.predicting import parts
parts.BYTES, parts._SAMPLE = 1, 100
from keepfit.cli.run import run
sys.exit(run("predict", sys.argv[1:]))
"""


def test_killed_at_any_time_it_goes_on_and_no_row_is_lost_or_twice(home: Home, tmp_path: Path) -> None:
    file, out = tmp_path / "in.csv", tmp_path / "out.parquet"
    wrong().write_csv(file)
    command = [sys.executable, "-c", RUN, "--project", str(home.root), str(file), "--out", str(out), "--bad", "null"]
    lot, kills = random.Random(1), 0
    while not out.exists() and kills < 3:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        answered = len(list((home.folder / "work" / "batches").glob("*/0*.parquet")))
        end, more = time.monotonic() + 60, lot.randint(1, 8)
        while running.poll() is None and time.monotonic() < end:
            if len(list((home.folder / "work" / "batches").glob("*/0*.parquet"))) > answered + more:
                os.kill(running.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        running.communicate()
    last = subprocess.run(command, capture_output=True, text=True)
    assert last.returncode == 0 and kills > 1, last.stderr
    found, logged = pl.read_parquet(out), read_log(log_folder(home.root))
    assert found["customer"].to_list() == wrong()["customer"].to_list()
    assert found["prediction"].is_null().arg_true().to_list() == sorted(BAD)
    assert logged["id"].to_list() == found["prediction id"].drop_nulls().to_list()
    assert len(history(home, kinds=["batch"])) == 1 and not left(home)
    assert not list(tmp_path.glob(".part-*")) or kills


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))


def test_a_disk_that_is_full_says_so_and_what_is_done_is_kept(home: Home, tmp_path: Path) -> None:
    file, out = tmp_path / "in.parquet", tmp_path / "out.csv"
    table(place=[os.urandom(60).hex() for _ in range(HEIGHT)]).write_parquet(file)
    command = [sys.executable, "-c", RUN, "--project", str(home.root), str(file), "--out", str(out)]
    full = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited)
    assert full.returncode == 1 and "error[store]" in full.stderr and "File too large" in full.stderr, full.stderr
    assert "run it again: the answers to" in full.stderr and not out.exists()
    freed = subprocess.run(command, capture_output=True, text=True)
    assert freed.returncode == 0 and "known from an earlier run" in freed.stdout, freed.stderr
    assert pl.read_csv(out).height == HEIGHT


def test_the_lock_of_a_batch_is_let_go(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    table().write_parquet(file)
    for _ in range(2):
        done(home, file, out=tmp_path / "out.parquet")
    (lock,) = (home.folder / "work" / "batches").glob("*.lock")
    with locked(lock, wait=False) as free:
        assert free


def test_the_command_refuses_what_makes_no_sense(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from keepfit.cli.run import run

    file = tmp_path / "in.csv"
    pl.DataFrame([row(1)], schema_overrides={"note": pl.String}).write_csv(file)
    for words, told in (
        ([str(file), str(file)], "several files need a place"),
        (["--batch", str(file)], "--batch takes what to read and what to write"),
        (["--batch", str(file), str(tmp_path / "out.txt")], "neither .csv nor .parquet"),
        (["--batch", str(file), str(tmp_path / "no" / "out.csv")], "there is no folder"),
    ):
        assert run("predict", [*words, "--project", str(home.root)]) == 2
        assert told in capsys.readouterr().err
    assert run("predict", ["--batch", str(file), str(tmp_path / "out.csv"), "--project", str(home.root)]) == 0
    assert "1 rows predicted by toy@2" in capsys.readouterr().out
