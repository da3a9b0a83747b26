"""Runs are found, ordered, shown and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_engine import home_with, plan

from keepfit.cli.runs.showing import as_csv, listed, value_of
from keepfit.core.errors import UsageError
from keepfit.home import Home
from keepfit.pages.drawing import Line, bars, lines, parallel
from keepfit.pages.page import html_diff, html_table, page
from keepfit.pages.spark import spark
from keepfit.runs.compare import compare
from keepfit.runs.execute import execute
from keepfit.runs.log import Log
from keepfit.runs.report import report
from keepfit.runs.run import Run
from keepfit.runs.search import search


def fit(parameters: dict[str, Any], log: Log) -> None:
    for step in range(5):
        log("loss", parameters["rate"] / (step + 1), step)
    log.final({"auc": 1 - parameters["rate"], **({"odd <name>": 1} if parameters["rate"] > 0.2 else {})})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home, _ = home_with(tmp_path, fit)
    for rate in (0.3, 0.1, 0.2):
        execute(home, plan(home, rate=rate, kind="l2" if rate < 0.3 else "<l1>"))
    return home


def rates(runs: list[Run]) -> list[float]:
    return [run.parameters["rate"] for run in runs]


def test_newest_first_unless_sorted(home: Home) -> None:
    assert rates(search(home, "model/m")) == [0.2, 0.1, 0.3]
    assert rates(search(home, "model/m", sort="auc")) == [0.1, 0.2, 0.3]
    assert rates(search(home, "model/m", sort="metrics.auc asc")) == [0.3, 0.2, 0.1]
    assert rates(search(home, "model/m", sort="loss", lower_is_better=["loss"], limit=2)) == [0.1, 0.2]
    assert rates(search(home, "model/m", sort="rate")) == [0.3, 0.2, 0.1]


def test_conditions_are_about_metrics_parameters_and_the_run(home: Home) -> None:
    assert rates(search(home, "model/m", where="auc > 0.75 and rate >= 0.2")) == [0.2]
    assert rates(search(home, "model/m", where="kind = '<l1>'")) == [0.3]
    assert rates(search(home, "model/m", where="`odd <name>` = 1")) == [0.3]
    assert rates(search(home, "model/m", where="who = 'ana' and state = 'done' and params.rate < 0.15")) == [0.1]
    assert search(home, "model/m", where="auc > 2") == []
    with pytest.raises(UsageError, match="no run has `auk`") as caught:
        search(home, "model/m", where="rate > 0 and auk > 1")
    assert caught.value.hint == "did you mean `auc`?"
    assert caught.value.message.endswith("\n               ^")
    with pytest.raises(UsageError, match="no run has `ratee`"):
        search(home, "model/m", sort="ratee")


def test_a_list_shows_what_differs_and_csv_everything(home: Home) -> None:
    runs = search(home, "model/m")
    head, *_ = listed(runs, "x").splitlines()
    assert head.split()[:3] == ["run", "when", "state"]
    assert "auc" in head
    assert "kind" in head
    lines = as_csv([value_of(run) for run in runs]).splitlines()
    assert "metrics.odd <name>" in lines[0]
    assert len(lines) == 4


def test_a_comparison_as_a_page_holds_no_script_and_escapes_what_users_wrote(home: Home) -> None:
    old, new = home.objects.put(b"x = 1\n"), home.objects.put(b"x = '<script>'\n")
    a, b = search(home, "model/m", sort="rate")[:2]
    a, b = msgspec.structs.replace(a, code={"m.py": old}), msgspec.structs.replace(b, code={"m.py": new, "n.py": old})
    found = compare(home, [a, b])
    assert [row.name for row in found.parameters if row.differs] == ["rate", "kind"]
    assert "-x = 1\n+x = '<script>'\n" in found.others[0].code
    assert "--- none\n+++ b/n.py\n" in found.others[0].code
    assert found.others[0].environment == found.others[0].data == []
    text = report(home, found)
    assert "<script" not in text
    assert "://" not in text
    assert "&lt;l1&gt;" in text
    assert "odd &lt;name&gt;" in text
    assert text.count("<svg") == 2
    assert "prefers-color-scheme:dark" in text


def test_pages_stay_small_whatever_they_show() -> None:
    many = [(float(i), float(i % 97)) for i in range(200_000)]
    drawn = "".join(lines([Line(f"line {n}", many)], x="step", y="loss") for n in range(24))
    text = page("big", [("curves", drawn), ("diff", html_diff("+x\n" * 1_000_000))])
    assert len(text) < 4_000_000
    assert len(lines([Line("one", many)], x="x", y="y")) < 10_000


def test_plots_take_any_numbers() -> None:
    odd = [float("nan"), float("inf"), -1e308, 1e308, 5e-324, 0.0]
    assert "nan" not in lines([Line("a", [(float(i), v) for i, v in enumerate(odd)])], x="x", y="y").split("<title>")[0]
    assert lines([], x="x", y="y").startswith('<div class="plot"><svg')
    parallel([{"a": 1, "b": "x"}, {"a": None, "b": 2.0}, {"b": float("nan")}], ["a", "b", "none"])
    assert parallel([], ["a"]).startswith('<div class="plot"><svg')
    assert bars({"<a>": 0.0}).count("&lt;a&gt;") == 1
    assert html_table(("a",), []) == ""
    assert len(spark(odd)) == 6
    assert spark([]) == ""
    assert spark([1.0] * 500) == "▄" * 48
