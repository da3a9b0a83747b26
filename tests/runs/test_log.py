"""What a step says is heard as it was said; nonsense is left out, and nothing that is said can disturb the step."""

from __future__ import annotations

import json
import math
import pickle
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.core.clocks import WallClock
from keepfit.runs.hear import Hearing, Said
from keepfit.runs.log import FILE, LONGEST, NAMES, WHOLE, Log


def heard(folder: Path, listener: Any = None) -> Hearing:
    hearing = Hearing(folder, WallClock(), listener)
    hearing.finish()
    return hearing


def curves(hearing: Hearing) -> dict[str, list[tuple[int, float]]]:
    return {name: [(p.step, p.value) for p in points] for name, points in hearing.curves.items()}


def test_values_arrive_as_they_were_logged(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        log("loss", 3.5)
        log("loss", 2, 10)
        log({"loss": np.float32(1.5), "auc": True}, step=20)
        log("loss", 1)
        log.parameters({"rate": 0.1, "kind": "l2", "deep": True, "skipped": object()})
        log.final({"auc": 0.75, "other": Decimal("0.5")})
    found = heard(tmp_path)
    assert curves(found) == {"loss": [(0, 3.5), (10, 2.0), (20, 1.5), (21, 1.0)], "auc": [(20, 1.0)]}
    assert found.metrics == {"loss": 1.0, "auc": 0.75, "other": 0.5}
    assert found.parameters == {"rate": 0.1, "kind": "l2", "deep": True}


@settings(max_examples=60, deadline=None)
@given(
    name=st.one_of(st.text(), st.none(), st.integers(), st.binary(), st.dictionaries(st.text(), st.text())),
    value=st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.complex_numbers(), st.lists(st.floats())),
    step=st.one_of(st.none(), st.integers(), st.floats(), st.text()),
)
def test_nothing_that_is_logged_raises_or_spoils_what_follows(
    tmp_path_factory: pytest.TempPathFactory, name: Any, value: Any, step: Any
) -> None:
    folder = tmp_path_factory.mktemp("step")
    with Log(folder) as log:
        log(name, value, step)
        log({name: value} if isinstance(name, str | int) else name, step=step)
        log("after", 1)
    found = heard(folder)
    assert found.metrics["after"] == 1.0
    assert all(n.isprintable() and 0 < len(n) <= LONGEST for n in found.metrics)


def test_numbers_that_are_not_finite_are_kept_in_the_curve(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        for value in (math.nan, math.inf, -math.inf):
            log("loss", value)
    values = [v for _, v in curves(heard(tmp_path))["loss"]]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_what_is_no_number_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Log(tmp_path) as log:
        for _ in range(5):
            log("loss", "0.5")
    assert capsys.readouterr().err == "log: `loss` is left out: '0.5' is text, not a number\n"
    assert heard(tmp_path).curves == {}


def test_many_values_are_thinned_but_the_first_and_the_last_stay(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        for step in range(200_000):
            log("loss", step)
    found = curves(heard(tmp_path))["loss"]
    assert found[: WHOLE // 2] == [(i, float(i)) for i in range(WHOLE // 2)]
    assert found[-1] == (199_999, 199_999.0)
    assert len(found) < 4 * WHOLE
    assert [s for s, _ in found] == sorted(s for s, _ in found)


def test_too_many_names_are_refused_quietly(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        for number in range(NAMES + 50):
            log(f"metric {number}", 1)
    assert len(heard(tmp_path).metrics) == NAMES


def test_a_listener_may_end_the_step_and_then_nothing_more_counts(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        for step in range(10):
            log("loss", step)
        log.final({"loss": 99})
    found = heard(tmp_path, lambda said: said == Said("loss", 3, 3.0))
    assert found.stopped
    assert curves(found) == {"loss": [(i, float(i)) for i in range(4)]}
    assert found.metrics == {"loss": 3.0}


def test_values_are_heard_while_the_step_runs(tmp_path: Path) -> None:
    came, ended = threading.Event(), threading.Event()
    hearing = Hearing(tmp_path, WallClock(), lambda said: came.set())
    with Log(tmp_path) as log, hearing.live(ended.set):
        log("loss", 1)
        assert came.wait(10)
    assert not ended.is_set()


def test_a_listener_that_fails_ends_the_step_and_is_told(tmp_path: Path) -> None:
    ended = threading.Event()

    def fails(said: Said) -> bool:
        raise ValueError("screen gone")

    with (
        pytest.raises(ValueError, match="screen gone"),
        Log(tmp_path) as log,
        Hearing(tmp_path, WallClock(), fails).live(ended.set),
    ):
        log("loss", 1)
        assert ended.wait(10)


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"[" * 100_000,
        b'["value", "x", 1e99, 1]',
        b'["value", "x", 99999999999999999999999, 1]',
        b'["value", "", 1, 1]',
        b'["value", "x\\u0000", 1, 1]',
        b'["value", "x", 1, "1"]',
        b'["final", "x", null, null]',
        b'{"value": 1}',
        b'"value"',
    ],
)
def test_lines_that_the_steps_code_wrote_itself_are_passed_over(tmp_path: Path, line: bytes) -> None:
    good = json.dumps(["value", "loss", 0, 1.0]).encode()
    (tmp_path / FILE).write_bytes(line + b"\n" + good + b"\n" + good[:5])
    assert curves(heard(tmp_path)) == {"loss": [(0, 1.0)]}


def test_a_log_may_be_shared_by_threads_and_falls_silent_when_pickled(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        threads = [
            threading.Thread(target=lambda n=n: [log(f"m{n}", i) for i in range(500)])  # type: ignore[misc]
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pickle.loads(pickle.dumps(log))("elsewhere", 1)
    found = curves(heard(tmp_path))
    assert found == {f"m{n}": [(i, float(i)) for i in range(500)] for n in range(4)}
