"""A row's answer follows from the row: not from those it is asked with, nor from how many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier

from keepfit.core.errors import UserCodeError
from keepfit.datasets.dataset import Column, Dataset
from keepfit.models.predictor import predict
from keepfit.models.spec import TrainSpec
from keepfit.models.train import train

_random = np.random.default_rng(5)
X = pl.DataFrame({f"x{i}": _random.normal(size=400) for i in range(17)})
SUM = X.sum_horizontal().to_numpy()
MODELS: dict[str, Any] = {
    "linear": Ridge().fit(X, SUM),
    "logistic": LogisticRegression().fit(X, SUM > 0),
    "three classes": LinearDiscriminantAnalysis().fit(X, np.digitize(SUM, [-1, 1])),
    "network": MLPClassifier((8,), max_iter=300, tol=1e-2, random_state=1).fit(X, SUM > 0),
    "forest": RandomForestClassifier(10, random_state=1).fit(X, SUM > 0),
    "boosted trees": HistGradientBoostingClassifier(max_iter=10, random_state=1).fit(X, SUM > 0),
}
TASKS = {"linear": "regression", "three classes": "multiclass"}


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 399), size=st.integers(1, 40), pandas=st.booleans())
@pytest.mark.parametrize("name", MODELS)
def test_an_answer_has_the_same_bits_whatever_it_is_asked_with(name: str, start: int, size: int, pandas: bool) -> None:
    task: Any = TASKS.get(name, "binary")
    table = X.to_pandas() if pandas else X
    whole = predict(MODELS[name], table, task)
    alone = predict(MODELS[name], table[start : start + size], task)
    assert alone.tobytes() == whole[start : start + size].tobytes()


class Wrong:
    def predict(self, X: pl.DataFrame) -> np.ndarray:
        return np.zeros(len(X) + 1)


def test_a_model_that_gives_another_number_of_answers_is_refused() -> None:
    with pytest.raises(UserCodeError, match="gave 9 predictions for 8 rows"):
        predict(Wrong(), X[:3], "regression")


CODE = """
import polars as pl
from sklearn.linear_model import Ridge

def features(houses: pl.DataFrame) -> pl.DataFrame:
    return houses.select(pl.col("x") {})

def fit(X, y):
    return Ridge().fit(X, y)
"""


@pytest.mark.parametrize(("written", "fits"), [("* 2", True), ("- pl.col('x').mean()", False)])
def test_features_that_look_at_other_rows_are_found_out(tmp_path: Path, written: str, fits: bool) -> None:
    main = Dataset(
        name="houses", source="", columns={"x": Column(type="number"), "y": Column(type="number", role="label")}
    )
    spec = TrainSpec(
        task="regression",
        main=main,
        sides=[],
        fit="ours:fit",
        features="ours:features",
        parameters={},
        seed=0,
        trust=[],
        known=None,
        start=None,
        test_from=None,
        test_share=0.5,
    )
    for folder in ("code", "data/houses", "out"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(spec))
    (tmp_path / "code" / "ours.py").write_text(CODE.format(written))
    pl.DataFrame({"x": SUM, "y": SUM * 3}).write_parquet(tmp_path / "data" / "houses" / "a.parquet")
    if fits:
        train(tmp_path)
        assert pl.read_parquet(tmp_path / "out" / "golden.parquet").height == 100
    else:
        with pytest.raises(UserCodeError, match="depends on which rows are asked with it"):
            train(tmp_path)
