"""Metrics against scikit-learn's, weighted by rows and by blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from keepfit.models.metrics import measure, metrics
from keepfit.models.task import Metric

BINARY = {
    "auc": theirs.roc_auc_score,
    "brier": theirs.brier_score_loss,
    "log_loss": theirs.log_loss,
    "accuracy": lambda t, p, sample_weight: theirs.accuracy_score(t, p > 0.5, sample_weight=sample_weight),
}
REGRESSION = {
    "mae": theirs.mean_absolute_error,
    "rmse": theirs.root_mean_squared_error,
    "r2": theirs.r2_score,
}


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(20, 200), digits=st.integers(1, 6))
@pytest.mark.parametrize("metric", BINARY)
def test_binary_metrics_weighted_by_block(metric: Metric, seed: int, rows: int, digits: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.r_[0.0, 1.0, (random.random(rows - 2) < 0.3)].astype(float)
    score = np.clip(np.round(random.random(rows), digits), 0.01, 0.99)
    blocks, weights = np.r_[0, 0, random.integers(0, 5, rows - 2)], np.r_[1.0, random.integers(0, 4, 4).astype(float)]
    ours = measure(metric, truth, score, blocks)
    assert ours(None) == pytest.approx(BINARY[metric](truth, score, sample_weight=None), abs=1e-12)
    assert ours(weights) == pytest.approx(BINARY[metric](truth, score, sample_weight=weights[blocks]), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(5, 100), level=st.sampled_from([0.0, 1e6]))
@pytest.mark.parametrize("metric", REGRESSION)
def test_regression_metrics_weighted_by_block(metric: Metric, seed: int, rows: int, level: float) -> None:
    random = np.random.default_rng(seed)
    truth = level + random.normal(size=rows)
    value = truth + random.normal(size=rows)
    blocks, weights = random.integers(0, 3, rows), 1.0 + random.integers(0, 3, 3)
    ours = measure(metric, truth, value, blocks)(weights)
    assert ours == pytest.approx(REGRESSION[metric](truth, value, sample_weight=weights[blocks]), rel=1e-6)


def test_multiclass() -> None:
    truth = np.array([0.0, 1.0, 2.0, 1.0])
    told = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1]])
    found = metrics("multiclass", truth, told)
    assert found["accuracy"] == 0.75
    assert found["log_loss"] == pytest.approx(theirs.log_loss(truth, told))


@pytest.mark.parametrize("truth", [np.zeros(5), np.ones(5), np.zeros(0)])
def test_an_auc_of_one_class_is_undefined(truth: np.ndarray) -> None:
    assert math.isnan(measure("auc", truth, np.linspace(0, 1, len(truth)))(None))


def test_a_constant_truth_has_no_r2() -> None:
    assert math.isnan(measure("r2", np.ones(4), np.arange(4.0))(None))
