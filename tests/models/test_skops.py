"""Saved models: the same bytes in every process, and nothing foreign gets in."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from keepfit.core.errors import PackageError, UserCodeError
from keepfit.models import skops

MAKE = """
import sys
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from keepfit.core.digests import digest_bytes
from keepfit.models import skops

random = np.random.default_rng(0)
X, y = random.normal(size=(200, 3)).round(1), random.integers(0, 2, 200)
encode = ColumnTransformer([("code", OneHotEncoder(handle_unknown="ignore"), [0])], remainder="passthrough")
for model in [
    LogisticRegression(),
    RandomForestClassifier(5, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, random_state=0),
    make_pipeline(encode, LogisticRegression()),
]:
    content = skops.dump(model.fit(X, y), [])
    again = skops.load(content, [])
    assert (again.predict_proba(X) == model.predict_proba(X)).all()
    print(digest_bytes(content))
"""


def test_equal_models_have_equal_bytes_in_every_process() -> None:
    def digests(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", MAKE]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    first = digests("1")
    assert first == digests("2")
    assert len(set(first.split())) == 4


def stranger(x: np.ndarray) -> np.ndarray:
    return x


def test_a_function_of_the_users_is_refused_unless_trusted() -> None:
    model = FunctionTransformer(stranger)
    with pytest.raises(UserCodeError, match="stranger") as refused:
        skops.dump(model, [])
    assert "trust = " in (refused.value.hint or "")
    name = f"{stranger.__module__}.stranger"
    content = skops.dump(model, [name])
    with pytest.raises(PackageError, match="stranger"):
        skops.load(content, [])
    assert skops.load(content, [name]).func is stranger


def test_a_foreign_class_smuggled_into_a_file_is_refused() -> None:
    content = skops.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), [])
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as held, zipfile.ZipFile(out, "w") as target:
        for name in held.namelist():
            text = held.read(name)
            if name == "schema.json":
                text = text.replace(b'"LogisticRegression"', b'"Popen"').replace(
                    b'"sklearn.linear_model._logistic"', b'"subprocess"'
                )
            target.writestr(name, text)
    with pytest.raises(PackageError, match=r"subprocess\.Popen"):
        skops.load(out.getvalue(), [])


def test_what_cannot_be_saved_is_told() -> None:
    with pytest.raises(UserCodeError):
        skops.dump(lambda x: x, [])


def test_threads_leave_no_mark_and_do_not_change_answers() -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(3000, 4)), random.integers(0, 2, 3000)
    files = {skops.dump(RandomForestClassifier(20, random_state=0, n_jobs=n).fit(X, y), []) for n in (None, 1, 3, -1)}
    assert len(files) == 1
    loaded = skops.load(files.pop(), [])
    assert loaded.n_jobs is None
    first = loaded.predict_proba(X)
    assert all(np.array_equal(loaded.predict_proba(X), first) for _ in range(3))
