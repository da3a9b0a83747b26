"""A project that is whole, with nothing trained yet."""

from __future__ import annotations

from pathlib import Path

TOML = """
model = "toy"

[data.toys]
from = "toys.csv"
x    = {{ type = "number" }}
y    = {{ type = "number", role = "label" }}

[train]
fit = "toys:train"

[serve]
port = {port}

[retrain]
when = ["every 3650d"]
"""


def write(root: Path, *, port: int = 8080) -> Path:
    root.mkdir()
    (root / "keepfit.toml").write_text(TOML.format(port=port))
    (root / "toys.py").write_text("def train(X, y, seed: int):\n    raise ValueError('not today')\n")
    (root / "toys.csv").write_text("x,y\n" + "".join(f"{i},{i * 2}\n" for i in range(200)))
    return root
