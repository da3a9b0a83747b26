"""The user's functions are found and read without running their code."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepfit.core.errors import ProjectError
from keepfit.runs.functions import code_files, find_function


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_function_tells_what_it_takes(tmp_path: Path) -> None:
    code = """
import pandas as pd
import polars as pl
from pandas import DataFrame as Table

raise SystemExit("must not run")

if True:
    def train(X: "pd.DataFrame", y: pl.Series, /, extra: Table | None = None, *a, seed: int, rate: float = 1, **more):
        ...
"""
    function = find_function(write(tmp_path, {"a.py": code}), "a:train")
    assert function.where == "a.py:9:5"
    told = [(p.name, p.has_default, p.by_name, p.annotation, p.frame) for p in function.parameters]
    assert told == [
        ("X", False, False, "pd.DataFrame", "pandas"),
        ("y", False, False, "pl.Series", "polars"),
        ("extra", True, True, "Table | None", "pandas"),
        ("seed", False, True, "int", "polars"),
        ("rate", True, True, "float", "polars"),
    ]
    assert function.place(function.parameters[0]) == "a.py:9:15"


def test_the_last_definition_counts(tmp_path: Path) -> None:
    code = "def f(a): ...\ntry:\n    def f(b): ...\nexcept ImportError:\n    pass\ndef g(f): ...\n"
    function = find_function(write(tmp_path, {"a.py": code}), "a:f")
    assert [p.name for p in function.parameters] == ["b"]


def test_a_name_imported_from_the_project_is_followed(tmp_path: Path) -> None:
    files = {
        "a.py": "from pack.deep.code import inner as f",
        "pack/__init__.py": "",
        "pack/deep/__init__.py": "from .code import inner",
        "pack/deep/code.py": "def inner(x): ...",
    }
    root = write(tmp_path, files)
    for reference in ("a:f", "pack.deep:inner", "pack.deep.code:inner"):
        assert find_function(root, reference).where == "pack/deep/code.py:1:1"


def test_imports_in_a_circle_end(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": "from b import f", "b.py": "from a import f"})
    with pytest.raises(ProjectError, match="not a function written with `def`"):
        find_function(root, "a:f")


@pytest.mark.parametrize(
    ("reference", "words", "where"),
    [
        ("a", "is not a reference", None),
        ("a:", "is not a reference", None),
        ("../a:f", "is not a reference", None),
        ("aa:f", "did you mean `a`", None),
        ("a:ff", "did you mean `f`", None),
        ("a:C", "not a function", "a.py:2:1"),
        ("a:value", "not a function", "a.py:3:1"),
        ("a:sqrt", "not a function", "a.py:4:1"),
        ("bad:f", "not Python", "bad.py:2:7"),
        ("null:f", "not Python", "null.py:1:1"),
        ("coded:f", "not Python", "coded.py:"),
    ],
)
def test_what_cannot_be_found_is_told(tmp_path: Path, reference: str, words: str, where: str | None) -> None:
    root = write(
        tmp_path,
        {
            "a.py": "def f(x): ...\nclass C: ...\nvalue = 1\nfrom math import sqrt\n",
            "bad.py": "x = 1\ndef f(:\n",
            "null.py": "x = 1\0",
            "coded.py": "# coding: no-such\n",
        },
    )
    with pytest.raises(ProjectError) as caught:
        find_function(root, reference)
    assert words in str(caught.value)
    assert (caught.value.where or "").startswith(where or "")


def test_code_files_are_all_that_is_imported_and_no_more(tmp_path: Path) -> None:
    files = {
        "flights.py": "import json, os.path\nimport near\nfrom pack import one\n",
        "near.py": "def f():\n    import late.deep\n",
        "pack/__init__.py": "",
        "pack/one.py": "from . import two\nfrom .sub import x\nfrom ..near import f\nfrom .... import far\n",
        "pack/two.py": "",
        "pack/unused.py": "import reached",
        "pack/sub/__init__.py": "",
        "pack/sub/x.py": "",
        "pack/.hidden/old.py": "import never",
        "late/deep.py": "",
        "reached.py": "",
        "never.py": "",
        "other.py": "import never",
        "tests/test_flights.py": "import flights",
    }
    root = write(tmp_path, files)
    assert [f.as_posix() for f in code_files(root, ["flights:train", "flights:features"])] == [
        "flights.py",
        "late/deep.py",
        "near.py",
        "pack/__init__.py",
        "pack/one.py",
        "pack/sub/__init__.py",
        "pack/sub/x.py",
        "pack/two.py",
        "pack/unused.py",
        "reached.py",
    ]


def test_a_module_of_the_project_hides_one_of_the_library(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": "import json", "json.py": ""})
    assert code_files(root, ["a:f"]) == (Path("a.py"), Path("json.py"))


def test_nothing_outside_the_project_is_taken(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"far.py": "def f(): ..."})
    root = write(tmp_path / "root", {"a.py": "import far"})
    (root / "far.py").symlink_to(outside / "far.py")
    for look in (lambda: code_files(root, ["a:f"]), lambda: find_function(root, "far:f")):
        with pytest.raises(ProjectError, match="outside the project"):
            look()


def test_a_syntax_error_on_the_way_is_told_where_it_is(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": "import b", "b.py": "def f(:"})
    with pytest.raises(ProjectError) as caught:
        code_files(root, ["a:f"])
    assert (caught.value.where or "").startswith("b.py:1:")


def test_a_warning_in_the_users_code_stays_quiet(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": 'def f(x): return "\\d"'})
    assert find_function(root, "a:f").name == "f"
