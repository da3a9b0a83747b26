"""The test of a challenger's loss: how often it errs when looked at all the time, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keepfit.models.metrics import Array, losses
from keepfit.releases.betting import evidence, paired, unpaired
from keepfit.releases.evidence import ALPHA

STREAMS, ROWS, EVERY = 1000, 1000, 50


def brier(lot: np.random.Generator, rows: int, noise: float) -> tuple[Array, Array, Array]:
    """Truth, and the squared errors of a good and a worse model on the same rows."""
    chance = lot.beta(2, 2, rows)
    truth = (lot.random(rows) < chance).astype(float)
    worse = np.clip(chance + lot.normal(0, noise, rows), 0, 1)
    return truth, losses("binary", truth, chance), losses("binary", truth, worse)


def alarms(streams: list[Array]) -> float:
    """The share of streams in which one who looks at every `EVERY`-th row ever sees an alarm."""
    looks = [any(evidence(s[:n]) >= 1 / ALPHA for n in range(EVERY, len(s) + 1, EVERY)) for s in streams]
    return sum(looks) / len(looks)


def test_equal_models_are_rarely_told_apart_however_often_one_looks() -> None:
    lot = np.random.default_rng(1)
    fair = []
    for _ in range(STREAMS):
        _, one, other = brier(lot, ROWS, 0.15)
        swap = lot.random(ROWS) < 0.5  # neither of both is better
        fair.append(paired(np.where(swap, one, other), np.where(swap, other, one)))
    assert alarms(fair) <= ALPHA


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_nor_when_each_row_is_answered_by_one_of_them(share: float) -> None:
    lot = np.random.default_rng(2)
    streams = [unpaired(brier(lot, ROWS, 0.0)[1], lot.random(ROWS) < share) for _ in range(STREAMS)]
    assert alarms(streams) <= ALPHA


def test_days_that_go_wrong_together_need_blocks() -> None:
    lot = np.random.default_rng(3)
    blocks = np.repeat(np.arange(40), 50)
    days = [np.repeat(lot.normal(0, 0.1, 40), 50) + lot.normal(0, 0.05, 2000) for _ in range(300)]
    rows = [np.clip(d, -1, 1) for d in days]
    as_rows = sum(evidence(d) >= 1 / ALPHA for d in rows) / len(rows)
    as_days = sum(evidence(paired(d, np.zeros_like(d), blocks)) >= 1 / ALPHA for d in rows) / len(rows)
    assert as_days <= ALPHA < as_rows


def test_a_better_model_is_left_alone_and_a_worse_one_found() -> None:
    lot = np.random.default_rng(4)
    found = []
    for _ in range(100):
        _, good, bad = brier(lot, ROWS, 0.25)
        assert evidence(paired(good, bad)) < 1 / ALPHA
        found.append(evidence(paired(bad, good)) >= 1 / ALPHA)
    assert sum(found) >= 99
    mixed = []
    for _ in range(100):
        _, good, bad = brier(lot, 10_000, 0.5)
        chosen = lot.random(10_000) < 0.5
        mixed.append(evidence(unpaired(np.where(chosen, bad, good), chosen)) >= 1 / ALPHA)
    assert sum(mixed) >= 95


@given(arrays(np.float64, st.integers(0, 50), elements=st.floats(-1, 1)), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(differences: Array, random: object) -> None:
    shuffled = differences.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert np.isclose(evidence(shuffled), evidence(differences))
    assert evidence(np.abs(differences)) >= evidence(differences) - 1e-12


@given(arrays(np.bool_, st.integers(0, 40)), st.floats(0, 1), st.floats(0, 1))
def test_runs_are_held_against_what_was_before_them(challenger: np.ndarray, new: float, old: float) -> None:
    loss = np.where(challenger, new, old).astype(float)
    found = unpaired(loss, challenger)
    runs = "".join("n" if c else "o" for c in challenger).lstrip("n")
    assert len(found) == runs.count("on")
    assert np.allclose(found, new - old)


def test_a_mean_for_each_block() -> None:
    loss, new = np.array([0.1, 0.2, 0.3, 0.5, 1.0]), np.array([True, False, False, True, True])
    assert np.allclose(unpaired(loss, new, np.array([0, 0, 0, 1, 1])), [0.1 - 0.25])
    assert np.allclose(paired(loss, np.zeros(5), np.array([7, 7, 7, 9, 9])), [0.2, 0.75])


def test_losses_are_bounded() -> None:
    truth, far = np.array([0.0, 10.0]), np.array([5.0, 1e9])
    assert losses("regression", truth, far, 10.0).tolist() == [0.5, 1.0]
    assert losses("multiclass", np.array(["a", "b"]), np.array(["a", "a"])).tolist() == [0.0, 1.0]
