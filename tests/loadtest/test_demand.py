"""Demands on latency under load, and amounts of memory, as people write them."""

from __future__ import annotations

import pytest

from keepfit.core.errors import UsageError
from keepfit.core.memory import held_by, size
from keepfit.loadtest.demand import demand


def test_a_demand_names_a_quantile_a_time_and_a_load() -> None:
    wanted = demand("p99 <= 20ms at 500/s")
    assert (wanted.name, wanted.most, wanted.load.rate) == ("p99", 0.02, 500.0)
    wanted = demand(" p99.9<= 1.5s at 64 connections")
    assert (wanted.name, wanted.most, wanted.load.rate, wanted.load.connections) == ("p99.9", 1.5, None, 64)


@pytest.mark.parametrize(
    "text", ["", "p98 <= 20ms at 5/s", "p99 < 20ms at 5/s", "p99 <= 20 at 5/s", "p99 <= 1s at 0/s"]
)
def test_what_is_no_demand_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        demand(text)


def test_amounts_of_memory() -> None:
    assert (size("500MB"), size("1.5 GiB")) == (500_000_000, 1_610_612_736)
    assert 0 < size("50%") < size("100%")
    for text in ("", "5", "0MB", "5 TB", "-1GB"):
        with pytest.raises(UsageError, match="amount of memory"):
            size(text)
    assert held_by() > 1_000_000
    assert held_by(2**22 + 1) == 0
