"""`keepfit bench` on real packages: alone, and beside what is live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from serving_kit import WEATHER, ask, gateway, log_folder, open_home, package, release

from keepfit.core.errors import NotFound, PackageError
from keepfit.loadtest.bench import bench
from keepfit.loadtest.load import Load
from keepfit.serving.log import read_log
from keepfit.serving.settings import ServeSettings

BRIEFLY = Load(rate=200, connections=32, seconds=0.4)


@pytest.mark.parametrize("how", [{}, {"sides": [WEATHER]}, {"levels": ["a", "b", "c"]}])
def test_a_package_alone_answers_its_golden_rows_bit_for_bit(tmp_path: Path, how: dict[str, Any]) -> None:
    home = open_home(tmp_path)
    for rows in (1, 5):
        found = bench(home, BRIEFLY, package=package(home, 7, **how), rows=rows, settings=ServeSettings())
        assert (found.figures.sent, found.figures.answered) == (80, 80), found.figures.examples
        assert (found.promised, found.figures.versions) == (True, {"7": 80})


def test_a_package_that_does_not_repeat_itself_is_not_tested(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    with pytest.raises(PackageError, match="golden rows"):
        bench(home, BRIEFLY, package=package(home, 1, wrong=True), settings=ServeSettings())


def test_a_load_on_what_is_live_stays_out_of_its_log(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    with gateway(tmp_path) as running:
        with pytest.raises(NotFound, match="nothing is live"):
            bench(home, BRIEFLY, url=running.url, settings=ServeSettings())
        release(home, 1, package(home, 1))
        ask(running, "POST", "/control/sync")
        found = bench(home, BRIEFLY, url=running.url, settings=ServeSettings())
        assert found.figures.answered == found.figures.sent == 80
        ask(running, "POST", "/control/sync")
    assert read_log(log_folder(tmp_path)).is_empty()
