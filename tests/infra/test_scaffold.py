"""What `init` writes is a project that loads, whose functions run, and that takes nothing of the user's away."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sklearn import datasets as bundled

from keepfit.core.errors import DataError, KeepfitError, UsageError
from keepfit.datasets.contract import check_contract
from keepfit.datasets.read import find_files, read_files
from keepfit.infra.scaffold import scaffold
from keepfit.project import load_project

ROWS = 300
START = datetime(2024, 1, 1)
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}

FIT = """
import sys
from pathlib import Path
import numpy as np
import polars as pl
from keepfit.datasets.read import find_files, read_files
from keepfit.features.build import build_features, load_function
from keepfit.models import skops
from keepfit.models.predictor import predict
from keepfit.project import load_project

for root in map(Path, sys.argv[1:]):
    project = load_project(root)
    main = project.main
    rows = read_files(find_files(root, main), main).collect().filter(pl.col(main.label).is_not_null())
    features, fit = load_function(root, project.train.features), load_function(root, project.train.fit)
    X = build_features(features, main.name, {main.name: rows.select(*main.inputs)})
    y = rows[main.label].to_numpy()
    model = fit(X, y, seed=1, **project.train.parameters | {"iterations": 30})
    found = predict(model, X, project.task)
    assert np.isfinite(found).all()
    assert len(found) == rows.height
    assert (predict(skops.load(skops.dump(model, []), []), X, project.task) == found).all()
    assert (predict(model, X[:1], project.task) == found[:1]).all()
    trivial = {"binary": 0.75, "multiclass": 0.75, "regression": 0.5}[project.task]
    assert model.score(X, y) > trivial, (root, model.score(X, y))
"""


def rows() -> pl.DataFrame:
    """Everything that data in the wild have: missing values, odd names, text, ids, times, nothing at all."""
    return pl.DataFrame(
        {
            "row_id": range(ROWS),
            "when": [START + timedelta(hours=9 * i) for i in range(ROWS)],
            "first seen": [(START - timedelta(days=i % 50)).date() for i in range(ROWS)],
            'odd "name" = \\ x.y': [["a", "b", None, "ü # c"][i % 4] for i in range(ROWS)],
            "zäh": [i % 7 + 0.5 if i % 5 else None for i in range(ROWS)],
            "def": [i % 3 == 0 for i in range(ROWS)],
            "remark": [f"text {i}" for i in range(ROWS)],
            "empty": [None] * ROWS,
        },
        schema_overrides={"empty": pl.Float64},
    )


LABELS = {
    "binary": pl.when(pl.col("def")).then(pl.lit("yes")).otherwise(pl.lit("no")),
    "multiclass": pl.col("row_id")
    .mod(4)
    .replace_strict({0: "lo", 1: "mid", 2: "hi", 3: "mid"}, return_dtype=pl.String),
    "regression": pl.col("zäh").fill_null(9) * 2 + 0.25,
}
BUNDLED = {
    "breast_cancer": ("binary", bundled.load_breast_cancer),
    "iris": ("multiclass", bundled.load_iris),
    "diabetes": ("regression", bundled.load_diabetes),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project for each task from our own rows, and from data that come with scikit-learn."""
    made = {}
    for name, label in LABELS.items():
        root = tmp_path_factory.mktemp(name)
        data = root / f"{name} data.{'parquet' if name == 'multiclass' else 'csv'}"
        table = rows().with_columns(target=label)
        (table.write_parquet if data.suffix == ".parquet" else table.write_csv)(data)
        scaffold(data, root)
        made[name] = root
    for name, (_, load) in BUNDLED.items():
        root = tmp_path_factory.mktemp(name)
        bunch = load()
        table = pl.DataFrame(bunch.data, schema=[str(n) for n in bunch.feature_names])
        table.with_columns(target=bunch.target).write_csv(root / f"{name}.csv")
        scaffold(root / f"{name}.csv", root)
        made[name] = root
    return made


def test_projects_load_as_what_they_are_and_data_keep_their_contracts(roots: dict[str, Path]) -> None:
    for name, root in roots.items():
        project = load_project(root)
        assert project.task == (name if name in LABELS else BUNDLED[name][0])
        data = read_files(find_files(root, project.main), project.main)
        assert not check_contract(data, project.main)
        assert project.train.test == ("last 23d" if name in LABELS else "last 20%")


def test_the_functions_learn_something_that_can_be_packed_and_asked(roots: dict[str, Path]) -> None:
    command = [sys.executable, "-c", FIT, *map(str, roots.values())]
    done = subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD)
    assert done.returncode == 0, done.stderr


def test_the_tests_pass_by_plain_pytest(roots: dict[str, Path]) -> None:
    command = [Path(sys.executable).with_name("pytest"), "-q", "-p", "no:cacheprovider", *roots.values()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=roots["iris"], env=ONE_THREAD)
    assert done.returncode == 0, done.stdout
    assert f"{2 * len(roots)} passed" in done.stdout


def test_the_code_does_not_know_keepfit(roots: dict[str, Path]) -> None:
    for root in roots.values():
        for file in root.rglob("*.py"):
            assert "import keepfit" not in file.read_text()


def test_the_text_is_as_a_formatter_would_leave_it(roots: dict[str, Path]) -> None:
    for name in BUNDLED:
        for check in (["format", "--check"], ["check", "--select", "E,F,W,I"]):
            command = [sys.executable, "-m", "ruff", *check, "--isolated", "--no-cache", "--line-length", "120", "."]
            done = subprocess.run(command, capture_output=True, text=True, cwd=roots[name])
            assert done.returncode == 0, done.stdout


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "2024 Flights!.csv"
    path.parent.mkdir()
    rows().drop("empty").with_columns(target=LABELS["binary"]).write_csv(path)
    return path


def test_data_from_elsewhere_are_copied_below_the_project(tmp_path: Path, data: Path) -> None:
    root = tmp_path / "project"
    written = scaffold(data, root, name="delay-1").written
    assert [f.relative_to(root).as_posix() for f in written] == [
        "data/2024 Flights!.csv",
        "delay_1.py",
        "tests/test_delay_1.py",
        "conftest.py",
        "keepfit.toml",
    ]
    project = load_project(root)
    assert (project.name, project.main.name) == ("delay-1", "data_2024_flights")
    assert (root / project.main.source).read_bytes() == data.read_bytes()


def test_a_glob_is_copied_whole_and_used_in_place_when_inside(tmp_path: Path, data: Path) -> None:
    again = data.with_name("other.csv")
    again.write_bytes(data.read_bytes())
    root = tmp_path / "project"
    scaffold(data.parent / "*.csv", root)
    project = load_project(root)
    assert project.main.name == "elsewhere"
    assert len(find_files(root, project.main)) == 2
    scaffold(data.parent / "*.csv", data.parent)
    assert load_project(data.parent).main.source == "*.csv"


def test_a_folder_of_parquet_inside_the_project_is_used_in_place(tmp_path: Path) -> None:
    (tmp_path / "data" / "trips").mkdir(parents=True)
    rows().with_columns(target=LABELS["binary"]).write_parquet(tmp_path / "data" / "trips" / "1.parquet")
    scaffold(tmp_path / "data" / "trips", tmp_path)
    project = load_project(tmp_path)
    assert project.main.source == "data/trips"
    assert len(find_files(tmp_path, project.main)) == 1


@pytest.mark.parametrize("name", ["test", "json", "polars", "class", "pl", "features", "data", "123"])
def test_awkward_names_still_work(tmp_path: Path, data: Path, name: str) -> None:
    root = tmp_path / "project"
    renamed = data.rename(data.with_name(f"{name}.csv"))
    scaffold(renamed, root)
    project = load_project(root)
    module = project.train.fit.partition(":")[0]
    assert module not in (*sys.stdlib_module_names, "polars")


def test_nothing_is_overwritten(tmp_path: Path, data: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "delay.py").write_text("mine")
    (root / "keepfit.toml").write_text("mine")
    with pytest.raises(UsageError, match=r"`delay\.py`, `keepfit\.toml` would be overwritten"):
        scaffold(data, root, name="delay")
    assert {f.name for f in root.iterdir()} == {"delay.py", "keepfit.toml"}
    assert (root / "delay.py").read_text() == "mine"


def test_a_model_is_not_held_to_the_tests_of_others(tmp_path: Path, data: Path) -> None:
    root = tmp_path / "clone"
    (root / "tests").mkdir(parents=True)
    (root / "tests" / "test_others.py").write_text("def test_theirs(): assert False")
    scaffold(data, root, name="delay")
    assert load_project(root).check.tests == "delay_tests"
    assert (root / "delay_tests" / "test_delay.py").exists()
    assert [p.name for p in (root / "tests").iterdir()] == ["test_others.py"]


def test_a_second_time_is_refused_but_a_killed_first_time_can_be_finished(tmp_path: Path, data: Path) -> None:
    root = tmp_path / "project"
    written = scaffold(data, root).written
    with pytest.raises(UsageError, match=r"keepfit\.toml"):
        scaffold(data, root)
    before = {f: f.read_bytes() for f in written}
    (root / "keepfit.toml").unlink()
    (root / "tests" / ".part-0123").write_text("half")
    (root / "conftest.py").write_text("# mine\n")
    scaffold(data, root)
    assert (root / "conftest.py").read_text() == "# mine\n"
    assert all(f.read_bytes() == content for f, content in before.items() if f.name != "conftest.py")


@pytest.mark.parametrize("name", ["a/b", "", "..", "ü"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, data: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a model"):
        scaffold(data, tmp_path / "project", name=name)
    assert not (tmp_path / "project").exists()


def test_bad_data_write_nothing(tmp_path: Path) -> None:
    bad = {
        "ids.csv": ("id,text,y\n" + "".join(f"{i},words {i},{i % 2}\n" for i in range(50)), DataError),
        "what[1].csv": ("x,y\n1,0\n2,1\n", UsageError),
        "empty.csv": ("", DataError),
    }
    for name, (content, error) in bad.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(error):
            scaffold(tmp_path / name, tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_an_unclear_label_is_asked_for_and_then_taken(tmp_path: Path, data: Path) -> None:
    pl.read_csv(data).drop("target", "def").write_csv(data)
    with pytest.raises(KeepfitError) as caught:
        scaffold(data, tmp_path / "project")
    assert caught.value.hint == "keepfit init FILE --label COLUMN"
    scaffold(data, tmp_path / "project", label="zäh")
    assert load_project(tmp_path / "project").task == "regression"
