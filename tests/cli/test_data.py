"""`keepfit data` as people use it: what it prints, its exit codes, what it refuses."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keepfit.cli.data import VERBS

TOML = """
model = "m"

[data.orders]
from   = "orders/*.csv"
id     = { type = "integer", unique = true }
amount = { type = "number" }
late   = { type = "bool", role = "label" }

[train]
fit = "m:fit"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "keepfit.toml").write_text(TOML)
    (tmp_path / "m.py").write_text("def fit(X, y): ...")
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders/1.csv").write_text("id,amount,late\n1,1.5,0\n2,2.5,1\n")
    return tmp_path


def keepfit(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepfit", "data", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def told(root: Path, *words: str, exit_code: int = 0) -> str:
    done = keepfit(root, *words)
    assert (done.returncode, done.stderr) == (exit_code, "")
    return done.stdout


def value(root: Path, *words: str) -> Any:
    return json.loads(keepfit(root, *words, "--json").stdout)


def test_the_sub_verbs_are_listed_with_an_example_each(root: Path) -> None:
    done = keepfit(root)
    assert done.returncode == 2
    assert told(root, "--help") == done.stdout
    for word, verb in VERBS.items():
        assert f"\n  {word} " in done.stdout
        assert verb.example in done.stdout
        assert verb.example in told(root, word, "--help")


def test_an_unknown_sub_verb(root: Path) -> None:
    done = keepfit(root, "chekout")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error[usage]: `data chekout` is not a command\n\nhint: did you mean `checkout`?\n"


def test_the_round_from_add_to_checkout(root: Path) -> None:
    assert told(root, "log") == "nothing is versioned yet: keepfit data add\n"
    assert told(root, "status", exit_code=3) == "orders: 1 file, not versioned yet: keepfit data add orders\n"
    assert told(root, "add") == "orders@1  1 file, 31 bytes, 2 rows: 1 added\n"
    assert told(root, "add") == "orders@1  1 file, 31 bytes, 2 rows: unchanged\n"
    assert told(root, "status") == "orders@1: nothing changed\n"
    (root / "orders/1.csv").write_text("id,amount,late\n1,1.5,0\n2,9.5,1\n3,4,0\n")
    assert told(root, "status", exit_code=3) == "orders@1: 1 modified\n  ~ 1.csv\n"
    changed = told(root, "diff", "orders")
    assert "orders@1 -> orders now\nfiles    1 modified\n  ~ 1.csv\ncolumns  the same\n" in changed
    assert "  1 added, 0 removed, 1 changed (by id)\n  changed in amount (1)\n" in changed
    assert "amount: mean 2 -> 5" in changed
    assert told(root, "add", "orders") == "orders@2  1 file, 37 bytes, 3 rows: 1 modified\n"
    log = told(root, "log", "orders").splitlines()
    assert [line.split()[0] for line in log[2:]] == ["orders@2", "orders@1"]
    assert value(root, "diff", "1", "2", "orders")["rows"]["added"] == 1
    assert "1 file written, 0 removed" in told(root, "checkout", "orders@1")
    assert (root / "orders/1.csv").read_text().endswith("2,2.5,1\n")
    told(root, "checkout", "orders@-1", "--to", "elsewhere")
    assert (root / "elsewhere/1.csv").read_text().endswith("3,4,0\n")


def test_any_file_can_be_versioned_and_nothing_of_it_is_lost(root: Path) -> None:
    (root / "pictures").mkdir()
    (root / "pictures/a.png").write_bytes(b"\x89PNG")
    assert told(root, "add", "pictures/") == "pictures@1  1 file, 4 bytes: 1 added\n"
    (root / "pictures/a.png").write_bytes(b"mine")
    done = keepfit(root, "checkout", "pictures")
    assert done.returncode == 3
    assert "1 files would be overwritten whose content is in no version: `a.png`" in done.stderr
    assert "hint: keepfit data add pictures first, or --force to overwrite them" in done.stderr
    assert (root / "pictures/a.png").read_bytes() == b"mine"
    told(root, "checkout", "pictures", "--force")
    assert (root / "pictures/a.png").read_bytes() == b"\x89PNG"
    assert [one["name"] for one in value(root, "status")] == ["orders", "pictures"]


def test_json_has_all_of_it(root: Path) -> None:
    added = value(root, "add")[0]
    assert (added["changed"], added["version"]["rows"], added["counts"]["added"]) == (True, 2, 1)
    assert value(root, "log")[0]["newest"] is True
    assert value(root, "status")[0]["counts"] == {"added": 0, "modified": 0, "deleted": 0}
    assert value(root, "checkout", "orders@1")["written"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "nothing"], "there is no dataset and no file `nothing`"),
        (["checkout", "orders@4"], "`orders@4` has no version"),
        (["diff", "orders"], "`orders` has no version yet"),
        (["log", "ordres"], "`ordres` has no version"),
    ],
)
def test_what_is_not_there_is_told_with_a_hint(root: Path, words: list[str], message: str) -> None:
    done = keepfit(root, *words)
    assert done.returncode == 1
    assert message in done.stderr
    assert "hint: " in done.stderr


def test_a_dataset_may_be_the_answer_to_a_query(root: Path) -> None:
    connection = sqlite3.connect(root / "shop.db")
    connection.execute("CREATE TABLE orders (id, amount, late)")
    connection.execute("INSERT INTO orders VALUES (1, 1.5, 0), (2, 2.5, 1)")
    connection.commit()
    connection.close()
    query = 'from = "sqlite:shop.db"\nquery = "SELECT * FROM orders ORDER BY id"'
    (root / "keepfit.toml").write_text(TOML.replace('from   = "orders/*.csv"', query))
    assert ", 2 rows: 1 added" in told(root, "add")
    assert told(root, "status") == "orders@1: nothing changed\n"
    shutil.rmtree(root / "orders")
    assert value(root, "diff", "orders")["files"] == []
