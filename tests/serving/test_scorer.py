"""Finding the rows that fail, so that only they do."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from keepfit.serving.problems import MODEL_FAILED, NOT_FINITE, ROW_PROBLEMS
from keepfit.serving.scorer import score


def double(rows: pl.DataFrame) -> np.ndarray:
    if "raise" in rows["what"]:
        raise ValueError("not this one")
    values = rows["x"].to_numpy() * 2.0
    return np.where(rows["what"].to_numpy() == "nan", np.nan, values)


@given(st.lists(st.sampled_from(["ok", "ok", "ok", "raise", "nan"]), min_size=1, max_size=70))
def test_only_the_bad_rows_fail(what: list[str]) -> None:
    rows = pl.DataFrame({"x": range(len(what)), "what": what})
    values, failed = score(double, rows, 60)
    assert values == [2.0 * n if w == "ok" else None for n, w in enumerate(what)]
    problems = {"raise": MODEL_FAILED, "nan": NOT_FINITE}
    assert {row: ROW_PROBLEMS[p] for row, p in failed.items()} == {
        n: problems[w] for n, w in enumerate(what) if w != "ok"
    }


def test_probabilities_fail_row_by_row() -> None:
    def half(rows: pl.DataFrame) -> np.ndarray:
        return np.array([[0.5, 0.5], [np.inf, 0.0], [0.1, 0.9]])

    values, failed = score(half, pl.DataFrame({"x": [1, 2, 3]}), 60)
    assert values == [[0.5, 0.5], None, [0.1, 0.9]]
    assert {row: ROW_PROBLEMS[p] for row, p in failed.items()} == {1: NOT_FINITE}


def test_a_wrong_number_of_answers_fails_every_row() -> None:
    values, failed = score(lambda rows: np.zeros(3), pl.DataFrame({"x": [1, 2]}), 60)
    assert (values, sorted(failed)) == ([None, None], [0, 1])


def test_a_model_that_is_broken_throughout_is_given_up_in_time() -> None:
    calls = []

    def broken(rows: pl.DataFrame) -> np.ndarray:
        calls.append(rows.height)
        raise ValueError

    values, failed = score(broken, pl.DataFrame({"x": range(512)}), 0)
    assert (len(calls), len(failed)) == (1, 512)
    assert values == [None] * 512
