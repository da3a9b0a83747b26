"""Intervals over redrawn blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keepfit.checks.bootstrap import difference, interval
from keepfit.models.metrics import measure


def test_the_same_draws_every_time() -> None:
    figure = measure("mae", np.zeros(100), np.arange(100.0), np.arange(100) // 10)
    assert interval(figure, 10) == interval(figure, 10)


def test_one_block_is_no_evidence() -> None:
    assert all(math.isnan(v) for v in interval(lambda w: 1.0, 1))


def test_days_that_go_together_widen_the_interval() -> None:
    """Rows of a day share their error: taking them as independent would claim ten times too much."""
    random = np.random.default_rng(1)
    days = np.repeat(np.arange(20), 100)
    error = np.repeat(random.normal(size=20), 100)
    by_day = interval(measure("mae", np.zeros(2000), 5 + error, days), 20)
    by_row = interval(measure("mae", np.zeros(2000), 5 + error, np.arange(2000)), 2000)
    assert by_day[1] - by_day[0] > 5 * (by_row[1] - by_row[0])


@pytest.mark.slow
def test_it_holds_the_truth_about_as_often_as_it_says() -> None:
    random, held = np.random.default_rng(2), 0
    for _ in range(300):
        days = np.repeat(np.arange(20), 20)
        value = np.repeat(random.normal(size=20), 20) + random.normal(size=400)
        low, high = interval(measure("mae", np.zeros(400), 10 + value, days), 20)
        held += low <= 10 <= high
    assert 0.80 <= held / 300 <= 0.95


def test_paired_comparison_sees_what_is_common_cancel() -> None:
    random = np.random.default_rng(3)
    days = np.repeat(np.arange(14), 50)
    hard = np.repeat(random.exponential(5, 14), 50)
    truth = np.zeros(700)
    gain = difference(measure("mae", truth, hard, days), measure("mae", truth, hard + 0.1, days), -1)
    low, high = interval(gain, 14)
    assert low == pytest.approx(0.1) == high
