"""Model files: equal models give equal bytes in every process, and what is loaded answers with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from keepfit.core.errors import PackageError, UserCodeError
from keepfit.models import formats

RANDOM = np.random.default_rng(0)
X = pl.DataFrame(RANDOM.normal(size=(400, 3)).round(2), schema=["a", "b", "c"])
TWO = (X["a"].to_numpy() + RANDOM.normal(size=400) > 0).astype(int)
THREE = RANDOM.integers(0, 3, 400)
VALUE = X["b"].to_numpy() * 2 + RANDOM.normal(size=400)


def quiet(**settings: Any) -> dict[str, Any]:
    return {"n_estimators": 8, "verbose": -1, "n_jobs": 1, **settings}


def boosted(y: np.ndarray) -> lightgbm.Booster:
    settings = {"objective": "binary", "verbose": -1, "num_threads": 2}
    return lightgbm.train(settings, lightgbm.Dataset(X.to_numpy(), label=y), 8)


def stopped_early() -> xgboost.XGBClassifier:
    model = xgboost.XGBClassifier(n_jobs=1, n_estimators=60, learning_rate=0.9, early_stopping_rounds=2)
    return model.fit(X[:300], TWO[:300], eval_set=[(X[300:], TWO[300:])], verbose=False)


MODELS: dict[str, tuple[str, Any, Any]] = {
    "logistic": ("model.skops", LogisticRegression(), TWO),
    "linear": ("model.skops", LinearRegression(), VALUE),
    "forest": ("model.skops", RandomForestClassifier(5, random_state=0), TWO),
    "hist": ("model.skops", HistGradientBoostingClassifier(max_iter=5, random_state=0), TWO),
    "lightgbm two": ("model.lightgbm.txt", lightgbm.LGBMClassifier(**quiet()), TWO),
    "lightgbm three": ("model.lightgbm.txt", lightgbm.LGBMClassifier(**quiet()), THREE),
    "lightgbm value": ("model.lightgbm.txt", lightgbm.LGBMRegressor(**quiet()), VALUE),
    "xgboost two": ("model.xgboost.ubj", xgboost.XGBClassifier(n_estimators=8, n_jobs=1), TWO),
    "xgboost three": ("model.xgboost.ubj", xgboost.XGBClassifier(n_estimators=8, n_jobs=1), THREE),
    "xgboost value": ("model.xgboost.ubj", xgboost.XGBRegressor(n_estimators=8, n_jobs=1), VALUE),
    "xgboost linear": ("model.xgboost.ubj", xgboost.XGBClassifier(n_estimators=8, booster="gblinear", n_jobs=1), TWO),
    "lightgbm chain": (
        "model.chain.zip",
        make_pipeline(StandardScaler().set_output(transform="pandas"), lightgbm.LGBMClassifier(**quiet())),
        TWO,
    ),
    "xgboost chain": (
        "model.chain.zip",
        make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=8, n_jobs=1)),
        TWO,
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", ["polars", "pandas"])
def test_a_loaded_model_answers_with_the_same_bits(name: str, form: str) -> None:
    file, model, y = MODELS[name]
    table = X.to_pandas() if form == "pandas" else X
    model.fit(table, y)
    found, content = formats.dump(model, [])
    assert found == file == formats.model_file(["golden.parquet", found])
    loaded = formats.load(file, content, [])
    method = "predict" if y is VALUE else "predict_proba"
    assert np.array_equal(getattr(loaded, method)(table), getattr(model, method)(table))
    assert formats.dump(model, [])[1] == content


def test_a_bare_booster_answers_as_a_classifier_does() -> None:
    booster = boosted(TWO)
    loaded = formats.load(*formats.dump(booster, []), [])
    assert np.array_equal(loaded.predict_proba(X)[:, 1], booster.predict(X.to_numpy()))
    matrix = xgboost.DMatrix(X, label=THREE)
    other = xgboost.train({"objective": "multi:softprob", "num_class": 3}, matrix, 5)
    assert np.array_equal(formats.load(*formats.dump(other, []), []).predict_proba(X), other.predict(matrix))


def test_a_booster_without_probabilities_says_so() -> None:
    matrix = xgboost.DMatrix(X, label=TWO)
    loud = formats.load(*formats.dump(xgboost.train({"objective": "binary:hinge"}, matrix, 2), []), [])
    with pytest.raises(UserCodeError, match="binary:hinge"):
        loud.predict_proba(X)
    plain = lightgbm.train({"objective": "regression", "verbose": -1}, lightgbm.Dataset(X.to_numpy(), label=TWO), 2)
    with pytest.raises(UserCodeError, match="no objective that gives probabilities"):
        formats.load(*formats.dump(plain, []), []).predict_proba(X)


def test_an_estimator_that_stopped_early_keeps_the_trees_it_predicts_with() -> None:
    model = stopped_early()
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    loaded = formats.load(*formats.dump(model, []), [])
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_threads_leave_no_mark_in_a_file() -> None:
    for make in (
        lambda n: lightgbm.LGBMClassifier(**quiet(n_jobs=n)),
        lambda n: xgboost.XGBClassifier(n_estimators=8, n_jobs=n),
    ):
        files = {formats.dump(make(threads).fit(X, TWO), [])[1] for threads in (1, 2, 4)}
        assert len(files) == 1


MAKE = """
import sys
sys.path.insert(0, sys.argv[1])
import test_formats as t
from keepfit.core.digests import digest_bytes
for file, model, y in t.MODELS.values():
    print(digest_bytes(t.formats.dump(model.fit(t.X, y), [])[1]))
print(digest_bytes(t.formats.dump(t.boosted(t.TWO), [])[1]), digest_bytes(t.formats.dump(t.stopped_early(), [])[1]))
"""


def test_equal_models_have_equal_bytes_in_fresh_processes_in_other_folders(tmp_path: Path) -> None:
    def digests(seed: str, threads: str) -> list[str]:
        (tmp_path / seed).mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
        command = [sys.executable, "-c", MAKE, str(Path(__file__).parent)]
        done = subprocess.run(command, env=environment, cwd=tmp_path / seed, check=True, capture_output=True, text=True)
        return done.stdout.split()

    first = digests("1", "1")
    assert first == digests("2", "2")
    assert len(set(first)) == len(MODELS) + 2


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_damaged_file_is_told(name: str) -> None:
    with pytest.raises(PackageError):
        formats.load(name, b"something else", [])


def test_a_chain_lets_no_foreign_class_in(tmp_path: Path) -> None:
    strange = make_pipeline(FunctionTransformer(np.sin), xgboost.XGBClassifier(n_estimators=2))
    name, content = formats.dump(strange.fit(X.to_numpy(), TWO), [])
    assert formats.load(name, content, []).predict(X.to_numpy()).shape == (400,)
    mine = make_pipeline(FunctionTransformer(quiet), xgboost.XGBClassifier())
    with pytest.raises(UserCodeError, match="quiet"):
        formats.dump(mine, [])
    with zipfile.ZipFile(tmp_path / "half.zip", "w") as archive:
        archive.writestr("before.skops", b"")
    with pytest.raises(PackageError, match="does not hold"):
        formats.load(name, (tmp_path / "half.zip").read_bytes(), [])


def test_what_was_not_fitted_is_told() -> None:
    for model in (lightgbm.LGBMClassifier(), xgboost.XGBClassifier()):
        with pytest.raises(UserCodeError, match="cannot be saved"):
            formats.dump(model, [])


def test_a_mark_for_missing_values_is_refused() -> None:
    model = xgboost.XGBClassifier(n_estimators=2, missing=-1.0).fit(X, TWO)
    with pytest.raises(UserCodeError, match=r"-1\.0"):
        formats.dump(model, [])


class Mine:
    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


def test_a_pickle_is_made_only_by_wish() -> None:
    with pytest.raises(UserCodeError, match="Mine"):
        formats.dump(Mine(), [])
    name, content = formats.dump(Mine(), [], pickle=True)
    assert name == formats.PICKLE == formats.model_file([name])
    assert formats.load(name, content, []).predict([1, 2]).shape == (2,)
    assert formats.dump(LogisticRegression().fit(X, TWO), [], pickle=True)[0] == "model.skops"
    with pytest.raises(UserCodeError, match="pickled"):
        formats.dump(lambda: 1, [], pickle=True)


def test_an_unknown_format_is_told() -> None:
    with pytest.raises(PackageError, match=r"model\.onnx"):
        formats.load("model.onnx", b"", [])
    with pytest.raises(PackageError):
        formats.model_file(["golden.parquet"])
