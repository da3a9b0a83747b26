"""`keepfit.load`: the model in this process takes what the endpoint takes and gives the same bits."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from serving_kit import INPUTS, MODEL, WEATHER, ask, gateway, open_home, package, predict, release, row

import keepfit
from keepfit.core.errors import (
    ContractBroken,
    DataError,
    NotFound,
    PackageError,
    ProjectError,
    UsageError,
    UserCodeError,
)
from keepfit.home import FOLDER, Home
from keepfit.objects import read
from keepfit.packages.sign import own_key


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "keepfit.toml").write_text(f'model = "{MODEL}"\n')
    home = open_home(tmp_path)
    yield home
    home.ledger.close()


def live(home: Home, **options: Any) -> keepfit.Model:
    release(home, 2, package(home, 2, **options))
    return keepfit.load(MODEL, project=home.root)


ROWS = [row(0.1), row(0.2, note="n", level=None), row(-3, place=None)]
TIMES = {"at": datetime(2013, 5, 2, 10)}


def test_rows_in_every_form_get_the_endpoints_answers(home: Home) -> None:
    model = live(home)
    with gateway(home.root) as running:
        expected = [answer["prediction"] for answer in predict(running, *ROWS)]
    rows = [r | TIMES for r in ROWS]
    frame = pl.DataFrame(rows)
    forms = {
        "json": ROWS,
        "dicts": rows,
        "columns": frame.to_dict(as_series=False),
        "arrays": {name: frame[name].to_numpy() for name in frame.columns},
        "polars": frame,
        "lazy": frame.lazy(),
        "categorical": frame.with_columns(pl.col("level", "place").cast(pl.Categorical)),
        "arrow": frame.to_arrow(),
        "batch": frame.to_arrow().to_batches()[0],
        "pandas": frame.to_pandas(),
        "odd pandas": frame.to_pandas().astype(object),
        "records": frame.to_pandas().to_dict("records"),
        "numpy scalars": [r | {"x": np.float64(r["x"]), "at": np.datetime64(r["at"])} for r in rows],
        "not there": [r | {"note": r["note"] or pd.NA, "level": r["level"] or math.nan} for r in rows],
    }
    for name, form in forms.items():
        answer = model.predict(form)
        assert answer.predictions.tolist() == expected, name
        assert (answer.probabilities, answer.levels) == (None, None)
    assert (model.name, model.version, list(model.inputs)) == (MODEL, 2, list(INPUTS))


def test_levels_come_with_their_probabilities(home: Home) -> None:
    model = live(home, levels=["a", "b", "c"])
    with gateway(home.root) as running:
        told = predict(running, row(1), row(6), row(11))
    answer = model.predict([row(1), row(6), row(11)])
    assert answer.levels == ["a", "b", "c"] and answer.predictions.tolist() == [a["prediction"] for a in told]
    assert answer.probabilities is not None
    assert [dict(zip(answer.levels, p, strict=True)) for p in answer.probabilities.tolist()] == [
        a["probabilities"] for a in told
    ]


@pytest.mark.parametrize(
    ("rows", "told", "where"),
    [
        (
            [row(1), row(2, level="lwo")],
            r"1 of 2 rows [^|]*`level`[^|]* at row 1: expected .*`low`",
            "row 1, column level",
        ),
        (pl.DataFrame([row(1) | TIMES, row(2e9) | TIMES]), r"`x`.*at row 1: expected a number", "row 1, column x"),
        ([row(math.inf), row(1)], "received inf", "row 0, column x"),
        ([row(math.nan), row(1)], "received null", "row 0, column x"),
        ([row(1), {"x": 1}], "`at` is missing", "row 1, column at"),
        ([row(1), row(1) | {"more": object()}], "no feature `more`", "row 1, column more"),
        ([row(1), row(object())], "`x` cannot be", "row 1, column x"),
        ([row(1), 7], "a row is an object", "row 1"),
        ({"x": [1, "2"], **{n: [None, None] for n in INPUTS if n != "x"}}, "2 of 2 rows", "row 0, column at"),
        ([row("1")] * 9, "9 of 9 rows", "row 0, column x"),
    ],
)
def test_rows_that_the_endpoint_refuses_are_refused_with_row_and_feature(
    home: Home, rows: Any, told: str, where: str
) -> None:
    model = live(home)
    with pytest.raises(ContractBroken, match=told) as caught:
        model.predict(rows)
    assert caught.value.where == where


def test_what_holds_no_rows_says_so(home: Home) -> None:
    model = live(home)
    for nothing in ([], pl.DataFrame(), {"x": []}):
        with pytest.raises(DataError, match="no rows"):
            model.predict(nothing)
    with pytest.raises(UsageError, match="a str holds no rows"):
        model.predict("rows")
    with pytest.raises(DataError, match="not of one length: `x` 2, `at` 1"):
        model.predict({"x": [1, 2], "at": [None]})


def test_a_model_that_fails_on_a_row_raises(home: Home) -> None:
    model = live(home)
    with pytest.raises(keepfit.KeepfitError, match="secret words") as caught:
        model.predict([row(1), row(2, note="raise")])
    assert caught.value.where == "toys.py:8"
    with pytest.raises(keepfit.KeepfitError, match="no finite number") as caught:
        model.predict([row(1), row(2, note="inf")])
    assert caught.value.where == "row 1"


def test_side_rows_are_those_of_the_endpoint_also_when_they_change(home: Home) -> None:
    pl.DataFrame({"seen": [datetime(2013, 5, 1)], "place": ["EWR"], "temp": [7.0]}).write_parquet(
        home.root / "weather.parquet"
    )
    model = live(home, sides=[WEATHER])
    with gateway(home.root) as running:
        assert model.predict([row(1)]).predictions.tolist() == [predict(running, row(1))[0]["prediction"]] == [2008.0]
        ask(running, "PUT", "/rows/weather", {"rows": [{"seen": "2013-05-02T09:00:00Z", "place": "EWR", "temp": 9}]})
        assert model.predict([row(1)]).predictions.tolist() == [predict(running, row(1))[0]["prediction"]] == [2010.0]


def test_names_stand_for_versions(home: Home, tmp_path: Path) -> None:
    live(home)
    assert repr(keepfit.load("toy@champion", project=home.root / "keepfit.toml" / "..")) == "<keepfit.Model toy@2>"
    with pytest.raises(NotFound, match=r"no model `tye`") as caught:
        keepfit.load("tye@3", project=home.root)
    assert caught.value.hint == "did you mean `toy`?"
    with pytest.raises(NotFound, match="no model `challenger`"):
        keepfit.load("toy@challenger", project=home.root)
    with pytest.raises(ProjectError, match=r"no `keepfit\.toml`"):
        keepfit.load("toy", project="/")


def test_a_package_file_is_loaded_when_its_key_is_trusted(home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    away = tmp_path_factory.mktemp("away")
    file = away / "toy.zip"
    archive = read(home.objects, package(home, 3))
    file.write_bytes(archive)
    key = own_key(home.folder / "key").id
    assert keepfit.load(file, project=home.root).predict([row(1)]).predictions.tolist() == [3001.0]
    assert keepfit.load(str(file), project=away, trust=key).version == 3
    with pytest.raises(ProjectError, match="can be trusted"):
        keepfit.load(file, project=away)
    with pytest.raises(PackageError, match="not trusted here"):
        keepfit.load(file, project=away, trust="0" * 16)
    file.write_bytes(archive.replace(b"ValueError", b"ValueErrxr"))
    with pytest.raises(PackageError, match="damaged"):
        keepfit.load(file, project=home.root)
    with pytest.raises(NotFound, match="cannot be read"):
        keepfit.load(away / "none.zip")
    file.write_bytes(read(home.objects, package(home, 4, wrong=True)))
    with pytest.raises(PackageError, match="golden rows"):
        keepfit.load(file, project=home.root)
    file.write_bytes(read(home.objects, package(home, 4, sides=[WEATHER])))
    with pytest.raises(ProjectError, match="joins rows of `weather`"):
        keepfit.load(file, project=away, trust=key)


def test_the_champion_is_loaded_while_the_ledger_is_away(home: Home) -> None:
    live(home)
    with gateway(home.root):
        pass
    ledger = home.folder / "ledger.db"
    ledger.rename(ledger.with_suffix(".away"))
    ledger.mkdir()
    assert keepfit.load(MODEL, project=home.root).version == 2


def test_models_and_the_program_do_not_see_each_others_modules(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = "def features(toys):\n    import extra\n    return extra.features(toys)\n"
    first = package(home, 1)
    archive = home.root / "first.zip"
    archive.write_bytes(read(home.objects, first))
    monkeypatch.setitem(sys.modules, "toys", mine := type(sys)("toys"))
    path = list(sys.path)
    model, other = keepfit.load(archive, project=home.root), live(home)
    assert [m.predict([row(1)]).predictions.tolist() for m in (model, other, model)] == [[1001.0], [2001.0], [1001.0]]
    assert sys.modules["toys"] is mine and sys.path == path
    with pytest.raises(UserCodeError, match="No module named 'extra'"):
        live(home, code=lazy)


def test_threads_get_their_own_answers(home: Home) -> None:
    model = live(home)
    wrong: list[Any] = []

    def ask_often(first: int) -> None:
        for x in range(first, first + 40):
            if (found := model.predict([row(x), row(-x)]).predictions.tolist()) != [2000.0 + x, 2000.0 - x]:
                wrong.append(found)

    threads = [threading.Thread(target=ask_often, args=(1000 * k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_heavy_is_imported_before_it_is_needed(home: Home) -> None:
    live(home)
    text = f"""
import sys, keepfit
assert not [n for n in sys.modules if n.startswith("keepfit.") or n == "polars"], "import keepfit"
assert {{"load", "Model"}} <= set(dir(keepfit))
keepfit.load
assert "polars" in sys.modules and not {{"pandas", "pyarrow", "sklearn"}} & set(sys.modules), "keepfit.load"
model = keepfit.load("toy", project={str(home.root)!r})
assert model.predict([{row(1)!r}]).predictions.tolist() == [2001.0]
assert "uvicorn" not in sys.modules
try:
    keepfit.nothing
except AttributeError as problem:
    print(problem)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=home.root / FOLDER)
    assert (done.returncode, done.stdout) == (0, "module `keepfit` has no attribute `nothing`\n"), done.stderr
