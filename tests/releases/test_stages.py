"""Stages as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.core.errors import UsageError
from keepfit.releases.settings import Approvals, ReleaseSettings, Stage, read_stage

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("shadow 1h", Stage(kind="shadow", time=HOUR)),
        ("shadow 2_000 rows", Stage(kind="shadow", rows=2000)),
        ("canary 5% 1h", Stage(kind="canary", share=0.05, time=HOUR)),
        (" canary 0.5 % 1 row ", Stage(kind="canary", share=0.005, rows=1)),
        ("canary 100% 500 rows or 1d 12h", Stage(kind="canary", share=1.0, rows=500, time=36 * HOUR)),
    ],
)
def test_what_can_be_written(text: str, stage: Stage) -> None:
    assert read_stage(text) == stage


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no stage"),
        ("shade 1h", "is no stage"),
        ("canary 1h", "which share"),
        ("canary 0% 1h", "which share"),
        ("canary 101% 1h", "which share"),
        ("shadow 5% 1h", "in shadow every request is mirrored"),
        ("shadow", "does not say when it ends"),
        ("canary 5%", "does not say when it ends"),
        ("canary 5% 0 rows", "ends before it begins"),
        ("canary 5% 0h", "ends before it begins"),
        ("canary 5% soon", "`soon` is not a duration"),
    ],
)
def test_what_cannot(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_stage(text)
    assert caught.value.hint


@given(st.text())
def test_any_text_is_a_stage_or_an_error(text: str) -> None:
    try:
        stage = read_stage(text)
    except UsageError:
        return
    assert (stage.rows or stage.time) and (stage.share > 0) == (stage.kind == "canary")


def test_approvals_may_be_a_number() -> None:
    assert ReleaseSettings(approvals=2).approved_by == Approvals(count=2)
    assert ReleaseSettings().approved_by.count == 0
