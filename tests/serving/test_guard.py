"""The guard: quiet about healthy models however often it looks, quick about sick ones, and it says why."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.serving.conduct import BUCKETS, SMALLEST, Conduct, Tally, bound, quantile
from keepfit.serving.guard import misconduct, surely_above
from keepfit.serving.settings import GuardLimits

LIMITS = GuardLimits()


def healthy(seed: int, batches: int, size: int = 1, seconds: float = 0.01, levels: int = 10**9) -> Tally:
    """A model whose answers vary and whose times have a long tail."""
    random = np.random.default_rng(seed)
    tally = Tally()
    for n in range(batches):
        values = random.integers(0, levels, size).tolist()
        tally.batch(n.to_bytes(4, "little"), values, seconds * float(random.lognormal(0, 0.5)))
        tally.requests += size
    tally.weigh(200_000_000)
    return tally


def but(tally: Tally, **changes: Any) -> Conduct:
    return msgspec.structs.replace(tally.conduct(), **changes)


def test_a_rate_that_keeps_its_limit_is_never_above_it_however_often_one_looks() -> None:
    random = np.random.default_rng(0)
    for rate in (0.001, 0.01, 0.1):
        for _ in range(100):
            bad = np.cumsum(random.random(1000) < rate)
            assert not any(surely_above(int(b), n + 1, rate) for n, b in enumerate(bad) if n % 7 == 0)


@pytest.mark.parametrize(("rate", "within"), [(1.0, 4), (0.5, 15), (0.1, 250), (0.05, 700)])
def test_a_rate_above_the_limit_is_soon_found(rate: float, within: int) -> None:
    random = np.random.default_rng(1)
    found = []
    for _ in range(50):
        bad = np.cumsum(random.random(within) < rate)
        found.append(any(surely_above(int(b), n + 1, 0.01) for n, b in enumerate(bad)))
    assert sum(found) >= 45


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([(1, 1), (1, 64), (64, 1), (512, 3)]),
    st.sampled_from([2, 5, 10**9]),
)
def test_two_models_that_are_alike_are_left_alone(
    seed: int, new: int, old: int, sizes: tuple[int, int], levels: int
) -> None:
    challenger = healthy(seed, new, sizes[0], 0.002 * sizes[0] ** 0.5, levels)
    champion = healthy(seed + 1, old, sizes[1], 0.002 * sizes[1] ** 0.5, levels)
    assert misconduct(challenger.conduct(), champion.conduct(), LIMITS) is None


def test_nothing_is_held_against_a_model_that_has_not_been_asked() -> None:
    assert misconduct(Tally().conduct(), healthy(0, 500).conduct(), LIMITS) is None
    assert misconduct(healthy(0, 500).conduct(), Tally().conduct(), LIMITS) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"not_finite": 1}, "no finite number for 1 rows"),
        ({"faults": 30}, "no answer to 30 of 400 requests"),
        ({"late": 200}, "kept 200 of 400 requests waiting"),
        ({"restarts": 3}, "died, or hung, 3 times"),
        ({"still": 40}, "its last 40 answers are one and the same"),
        ({"memory": 900_000_000}, "grew to 900 MB"),
    ],
)
def test_each_kind_of_misconduct_is_named(changes: dict[str, Any], reason: str) -> None:
    told = misconduct(but(healthy(0, 400), **changes), healthy(1, 400).conduct(), LIMITS)
    assert told is not None
    assert reason in told


def test_a_model_is_as_constant_as_the_champion_is() -> None:
    champion = but(healthy(0, 400), changes=30)
    assert misconduct(but(healthy(1, 400), still=100), champion, LIMITS) is None
    assert misconduct(but(healthy(1, 400), still=500), champion, LIMITS) is not None


@pytest.mark.parametrize(("new", "old"), [(1, 1), (1, 64), (64, 64), (512, 1)])
def test_slowness_is_found_whatever_the_batches(new: int, old: int) -> None:
    champion = healthy(0, 400, old, 0.002).conduct()
    alike = 0.002 * max(1, new / old)
    assert misconduct(healthy(1, 400, new, alike).conduct(), champion, LIMITS) is None
    told = misconduct(healthy(1, 400, new, alike * 100).conduct(), champion, LIMITS)
    assert told is not None
    assert "times as long" in told
    fast = healthy(0, 400, old, 0.00001).conduct()
    assert misconduct(healthy(1, 400, new, 0.005).conduct(), fast, LIMITS) is None, "nobody notices"


def test_a_sample_with_the_inputs_of_the_one_before_says_nothing() -> None:
    tally = Tally()
    for _ in range(100):
        tally.batch(b"same", [1.0], 0.001)
    assert (tally.conduct().samples, tally.conduct().still) == (1, 1)


@given(st.floats(1e-7, 1000))
def test_every_time_lies_in_its_bucket(seconds: float) -> None:
    tally = Tally()
    tally.batch(b"", [1.0, 2.0], seconds)
    counts = tally.conduct().seconds[1]
    bucket = counts.index(1)
    assert seconds <= bound(bucket) * (1 + 1e-9) or bucket == BUCKETS - 1
    assert seconds > bound(bucket) / math.sqrt(2) * (1 - 1e-9) or bucket == 0
    assert quantile(counts, 0.99) == bound(bucket)
    assert bound(0) == SMALLEST
