"""What a model is tested on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest

from keepfit.core.errors import NotEnoughData, UserCodeError
from keepfit.datasets.dataset import Column, Dataset
from keepfit.models.spec import TrainSpec
from keepfit.models.train import tables, train

CODE = """
from sklearn.linear_model import LogisticRegression

def fit(X, y):
    return LogisticRegression().fit(X, y)
"""


def step(folder: Path, labels: list[bool], *, dated: bool = False, seed: int = 0) -> TrainSpec:
    """A training step on these labels, one a row."""
    time = {"t": Column(type="timestamp", role="event time")} if dated else {}
    columns = {**time, "x": Column(type="number"), "y": Column(type="bool", role="label")}
    spec = TrainSpec(
        task="binary",
        main=Dataset(name="d", source="", columns=columns),
        sides=[],
        fit="ours:fit",
        features=None,
        parameters={},
        seed=seed,
        trust=[],
        known=None,
        start=None,
        test_from=None,
        test_share=0.2,
    )
    for name in ("code", "data/d", "out"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    (folder / "code" / "ours.py").write_text(CODE)
    rows = pl.DataFrame({"x": [float(i) for i in range(len(labels))], "y": labels})
    rows.with_columns(t=pl.from_epoch(pl.col("x").cast(pl.Int64), "d")).write_parquet(
        folder / "data" / "d" / "a.parquet"
    )
    return spec


def test_rows_without_a_time_are_tested_on_by_lot_whatever_their_order(tmp_path: Path) -> None:
    step(tmp_path, [False] * 150 + [True] * 50)
    train(tmp_path)
    tested = pl.read_parquet(tmp_path / "out" / "test.parquet")
    assert tested.height == 40
    assert 3 <= tested["y"].sum() <= 20


def test_the_lot_of_a_row_follows_from_the_seed_and_stays_when_rows_are_added(tmp_path: Path) -> None:
    def drawn(rows: int, seed: int) -> list[float]:
        spec = step(tmp_path, [True, False] * (rows // 2), seed=seed)
        return tables(tmp_path / "data", spec)[0]["x"].to_list()

    assert drawn(100, 0) == drawn(100, 0) != drawn(100, 1)
    assert drawn(100, 0) == [x for x in drawn(120, 0) if x < 100]


@pytest.mark.parametrize(
    ("labels", "dated", "told"),
    [
        ([False] * 150 + [True] * 50, True, "all 40 test rows have the same label"),
        ([True] * 7 + [False] * 191 + [True] * 2, True, "only 2 of 40 test rows have the label `true`"),
    ],
)
def test_a_test_with_one_answer_is_refused(tmp_path: Path, labels: list[bool], dated: bool, told: str) -> None:
    step(tmp_path, labels, dated=dated)
    with pytest.raises(NotEnoughData, match=told):
        train(tmp_path)


FEATURES = "\n\ndef wrong(d):\n    return {}\n"


@pytest.mark.parametrize(
    ("given", "message", "where"),
    [
        ("d.head(3)", "`wrong` gave back 3 rows for 600", "ours.py:8"),
        ("[1]", "`wrong` gave back a list, not a table", "ours.py:8"),
        ("d.select(x=d['x'] / d.height)", "depends on which rows are asked with it", "ours.py:8"),
    ],
)
def test_what_is_wrong_with_features_points_at_their_function(
    tmp_path: Path, given: str, message: str, where: str
) -> None:
    spec = step(tmp_path, [False, True, True] * 200)
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(spec, features="ours:wrong")))
    (tmp_path / "code" / "ours.py").write_text(CODE + FEATURES.format(given))
    with pytest.raises(UserCodeError, match=message) as caught:
        train(tmp_path)
    assert caught.value.where == where


def test_what_is_wrong_with_a_model_points_at_the_function_that_made_it(tmp_path: Path) -> None:
    step(tmp_path, [False, True] * 100)
    regression = CODE.replace("LogisticRegression()", "LinearRegression()")
    (tmp_path / "code" / "ours.py").write_text(regression.replace("LogisticRegression", "LinearRegression"))
    with pytest.raises(UserCodeError, match="has no predict_proba") as caught:
        train(tmp_path)
    assert caught.value.where == "ours.py:4"


def test_a_lazy_table_that_cannot_be_collected_points_at_its_function(tmp_path: Path) -> None:
    spec = step(tmp_path, [False, True] * 100)
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(spec, features="ours:wrong")))
    (tmp_path / "code" / "ours.py").write_text(CODE + FEATURES.format("d.lazy().select('none')"))
    with pytest.raises(UserCodeError, match="`wrong` raised ColumnNotFoundError") as caught:
        train(tmp_path)
    assert caught.value.where == "ours.py:8"
