from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from data_kit import make_home

from keepfit.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = make_home(tmp_path / "project")
    yield made
    made.ledger.close()
