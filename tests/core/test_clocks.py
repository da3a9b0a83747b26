from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.core.clocks import ReplayClock, WallClock, duration, instant, iso, utc
from keepfit.core.errors import UsageError

UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=offsets)
parts = st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4)


@given(parts, st.sampled_from(["", " ", "  "]))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]], gap: str) -> None:
    text = gap + gap.join(f"{number}{gap}{unit}" for number, unit in parts) + gap
    assert duration(text) == sum((number * UNITS[unit] for number, unit in parts), timedelta())


def test_a_duration_may_have_a_fraction() -> None:
    assert duration("1.5h") == timedelta(minutes=90)
    assert duration("0.5ms") == timedelta(microseconds=500)


@pytest.mark.parametrize("text", ["", " ", "24", "h", "24x", "1 day", "-1h", "1h-", "1,5h", "1hh", "m1", "٣x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        duration(text)


@pytest.mark.parametrize("text", ["9" * 20 + "d", "9" * 400 + "ms", "999999999d 1d"])
def test_a_duration_without_end_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="longer than time is counted"):
        duration(text)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert duration(text) >= timedelta()
    except UsageError as problem:
        assert f"`{text}`" in problem.message


@given(times)
def test_an_instant_survives_being_written(time: datetime) -> None:
    assert instant(time.isoformat()) == time
    assert instant(time.isoformat()).utcoffset() == timedelta()
    assert instant(iso(time)) == utc(time).replace(microsecond=0)


@given(times)
def test_utc_is_the_same_instant(time: datetime) -> None:
    assert utc(time) == time
    assert utc(utc(time)) == utc(time)
    assert utc(time.replace(tzinfo=None)) == time.replace(tzinfo=UTC)
    assert iso(time.replace(tzinfo=None)) == iso(time.replace(tzinfo=UTC))


def test_an_instant_may_be_a_date() -> None:
    assert instant("2013-05-02") == datetime(2013, 5, 2, tzinfo=UTC)
    assert iso(instant("2013-05-02T14:30+02:00")) == "2013-05-02 12:30:00"


@pytest.mark.parametrize("text", ["", "yesterday", "2013-13-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        instant(text)


def test_a_replay_moves_only_forwards() -> None:
    start = datetime(2013, 5, 2, tzinfo=timezone(timedelta(hours=2)))
    clock = ReplayClock(start)
    assert clock.now() == start
    assert clock.now().utcoffset() == timedelta()
    clock.advance(datetime(2013, 5, 3))
    clock.advance(clock.now())
    assert clock.now() == datetime(2013, 5, 3, tzinfo=UTC)
    with pytest.raises(UsageError, match="cannot go back"):
        clock.advance(start)
    assert clock.now() == datetime(2013, 5, 3, tzinfo=UTC)


def test_the_wall_clock_tells_the_time_in_utc() -> None:
    before = datetime.now(UTC)
    assert before <= WallClock().now() <= datetime.now(UTC)
