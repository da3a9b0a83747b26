"""What opening a project makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from keepfit.project import home, load_project

TOML = """
model = "shop"
[data.sales]
from = "data/sales.csv"
size = { type = "number" }
paid = { type = "bool", role = "label" }
[train]
fit = "shop:fit"
"""


def test_git_takes_nothing_of_what_keepfit_keeps(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "shop.py").write_text("def fit(X, y): ...\n")
    (root / "keepfit.toml").write_text(TOML)
    home(load_project(root)).ledger.close()
    (root / ".keepfit" / "key").write_text("secret")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=root, check=True)
    known = subprocess.run(["git", "ls-files"], cwd=root, check=True, capture_output=True, text=True)
    assert "keepfit.toml" in known.stdout
    assert ".keepfit" not in known.stdout
