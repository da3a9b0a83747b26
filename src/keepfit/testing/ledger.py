"""What every ledger must pass."""

from __future__ import annotations

import math
import os
import random
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepfit.core.errors import NameMoved, StoreError, UsageError
from keepfit.ledger import Entry, Fact, Ledger, Move, Point, Query, Where, fact, open_ledger
from keepfit.remotes.curves import curves_of, record_curves
from keepfit.runs.run import series
from keepfit.testing import queries, workers
from keepfit.testing.workers import NOON

_LAWS = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
_any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_number = st.floats(allow_nan=False, allow_infinity=False)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | _number | _any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_any_text, inner, max_size=3),
    max_leaves=8,
)
_facts = st.builds(
    Fact,
    id=_text,
    kind=_text,
    subject=_text,
    time=st.datetimes(timezones=st.just(UTC)),
    actor=_text,
    body=st.dictionaries(_any_text, _json, max_size=3),
    refs=st.dictionaries(_any_text, _any_text, max_size=3),
    attributes=st.dictionaries(_text, _number | _text, max_size=3),
)
_points = st.builds(Point, st.integers(-(2**63), 2**63 - 1), st.floats(), st.datetimes(timezones=st.just(UTC)))


class LedgerSuite:
    """Subclass with the `url` of the backend; each root given to `address` needs an empty ledger of its own."""

    url = ""

    def address(self, root: Path) -> str:
        """Where the ledger of this root is."""
        return self.url

    def open(self, root: Path) -> Ledger:
        """The ledger of this root."""
        return open_ledger(self.address(root), root)

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Ledger]:
        opened = self.open(tmp_path)
        yield opened
        opened.close()

    # facts

    @_LAWS
    @given(st.lists(_facts, max_size=5, unique_by=lambda fact: fact.id))
    def test_what_is_appended_is_there_after_reopening(
        self, tmp_path_factory: pytest.TempPathFactory, facts: list[Fact]
    ) -> None:
        root = tmp_path_factory.mktemp("ledger")
        ledger = self.open(root)
        assert ledger.append(facts) == facts
        ledger.close()
        ledger = self.open(root)
        assert ledger.find(Query(descending=False)) == facts
        assert ledger.verify() is None
        ledger.close()

    def test_a_fact_comes_back_as_json_holds_it(self, ledger: Ledger) -> None:
        east = timezone(timedelta(hours=5, minutes=30))
        made = Fact(id="x-1", kind="x", subject="s", time=NOON.astimezone(east), body={"a": (1, 2), "b": math.nan})
        (held,) = ledger.append([made])
        assert held.body == {"a": [1, 2], "b": None}
        assert held.time == NOON and held.time.utcoffset() == timedelta(0)
        assert ledger.get("x-1") == held

    def test_a_time_without_a_zone_is_utc(self, ledger: Ledger) -> None:
        (held,) = ledger.append([_fact("a", time=datetime(2013, 5, 2, 12))])
        assert held.time == NOON

    def test_a_fact_recorded_again_is_left_as_it_is(self, ledger: Ledger) -> None:
        (first,) = ledger.append([_fact("a", body={"n": 1})])
        assert ledger.append([_fact("a", body={"n": 2}), _fact("b")]) == [first, _fact("b")]
        assert ledger.get("a") == first
        assert ledger.find(Query()) == [_fact("b"), first]

    def test_the_first_of_equal_ids_in_one_append_is_kept(self, ledger: Ledger) -> None:
        first, second = _fact("a", body={"n": 1}), _fact("a", body={"n": 2})
        assert ledger.append([first, second]) == [first, first]
        assert ledger.find(Query()) == [first]

    def test_nothing_is_appended_for_nothing(self, ledger: Ledger) -> None:
        assert ledger.append([]) == []
        assert ledger.find(Query()) == []

    def test_get_takes_the_beginning_of_an_id(self, ledger: Ledger) -> None:
        ledger.append([_fact(id) for id in ("run-12", "run-123", "run-2ab")])
        assert ledger.get("run-2ab") == ledger.get("run-2a") == ledger.get("run-2") == _fact("run-2ab")
        assert ledger.get("run-123") == _fact("run-123")
        assert ledger.get("run-12") == _fact("run-12")
        assert ledger.get("run-3") is None
        assert ledger.get("run-1234") is None
        with pytest.raises(UsageError, match="`run-1` fits several"):
            ledger.get("run-1")

    @pytest.mark.parametrize(
        "bad",
        [
            {"attributes": {"loss": math.nan}},
            {"attributes": {"loss": math.inf}},
            {"attributes": {"loss": None}},
            {"body": {"what": object()}},
            {"subject": "\ud800"},
            {"body": {"what": "\ud800"}},
            {"kind": "a\0"},
            {"subject": "\0"},
            {"actor": "a\0b"},
            {"attributes": {"\0": 1.0}},
            {"attributes": {"a": "\0"}},
            {"id": "x" * 501},
            {"subject": "\U0001f600" * 126},
            {"attributes": {"x" * 501: 1.0}},
        ],
    )
    def test_what_cannot_be_kept_is_refused_and_records_nothing(self, ledger: Ledger, bad: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            ledger.append([_fact("good"), _fact(**{"id": "bad"} | bad)], [Move("n", None, "good")])
        assert ledger.find(Query()) == []
        assert ledger.name("n") is None

    def test_long_texts_have_their_place(self, ledger: Ledger) -> None:
        long = Fact(
            id=_noise(500),
            kind=_noise(500),
            subject=_noise(500),
            time=NOON,
            attributes={_noise(500): _noise(500), "long": _noise(5000)},
            body={"a": _noise(100_000)},
        )
        other = msgspec.structs.replace(long, id="other", attributes={"long": _noise(4999)})
        ledger.append([long, other], [Move("m" * 500, None, long.id)])
        assert ledger.get(_noise(450)) == long
        assert ledger.name("m" * 500) == long.id
        for value, found in ((_noise(5000), [long]), (_noise(4999), [other]), (_noise(1000), [])):
            assert ledger.find(Query(where=(Where("long", "=", value),))) == found
        assert ledger.find(Query(where=(Where("long", "!=", _noise(5000)),))) == [other]
        assert ledger.find(Query(kind=long.kind, subject=long.subject)) == [other, long]
        assert ledger.verify() is None

    # names

    @pytest.mark.parametrize("name", ["a\0", "\ud800", "x" * 501])
    def test_a_name_that_cannot_be_kept_is_refused(self, ledger: Ledger, name: str) -> None:
        with pytest.raises(UsageError):
            ledger.append([_fact("a")], [Move(name, None, "a")])
        with pytest.raises(UsageError):
            ledger.record(name, [Point(1, 1.0, NOON)])
        assert ledger.find(Query()) == []

    def test_a_name_moves_only_from_where_it_was_seen(self, ledger: Ledger) -> None:
        ledger.append([_fact("a"), _fact("b")], [Move("champion", None, "a")])
        assert ledger.name("champion") == "a"
        ledger.append([], [Move("champion", "a", "b")])
        assert ledger.name("champion") == "b"
        for old in ("a", None, "c"):
            with pytest.raises(NameMoved, match="`champion` points at `b`"):
                ledger.append([_fact("c")], [Move("champion", old, "a")])
        assert ledger.name("champion") == "b"
        assert ledger.get("c") is None

    def test_append_and_moves_are_all_or_nothing(self, ledger: Ledger) -> None:
        ledger.append([_fact("a")], [Move("taken", None, "a")])
        moves = [Move("free", None, "b"), Move("taken", None, "b")]
        with pytest.raises(NameMoved):
            ledger.append([_fact("b")], moves)
        assert ledger.names() == {"taken": "a"}
        assert ledger.find(Query()) == [_fact("a")]
        assert ledger.verify() is None

    def test_moves_of_one_append_follow_each_other(self, ledger: Ledger) -> None:
        ledger.append([_fact("a"), _fact("b")], [Move("n", None, "a"), Move("n", "a", "b")])
        assert ledger.name("n") == "b"

    def test_a_name_cannot_point_at_nothing(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError, match="`nowhere`"):
            ledger.append([_fact("a")], [Move("n", None, "nowhere")])
        assert ledger.name("n") is None
        assert ledger.get("a") is None

    def test_names_are_listed_by_their_beginning(self, ledger: Ledger) -> None:
        names = ["release/a", "release/b", "release/é", "releases", "model/a", "%", "release_"]
        ledger.append([_fact("a")], [Move(name, None, "a") for name in names])
        assert set(ledger.names()) == set(names)
        assert ledger.names("release/") == {"release/a": "a", "release/b": "a", "release/é": "a"}
        assert ledger.names("%") == {"%": "a"}
        assert ledger.names("x") == {}

    # queries

    @_LAWS
    @given(st.lists(queries.contents, max_size=12), st.lists(queries.queries, min_size=1, max_size=8))
    def test_find_gives_what_a_plain_filter_and_sort_give(
        self, tmp_path_factory: pytest.TempPathFactory, contents: list[Any], asked: list[Query]
    ) -> None:
        ledger = self.open(tmp_path_factory.mktemp("ledger"))
        facts = [
            Fact(id=f"f-{n}", kind=kind, subject=subject, time=time, attributes=attributes)
            for n, (kind, subject, time, attributes) in enumerate(contents)
        ]
        ledger.append(facts)
        for query in asked:
            assert ledger.find(query) == queries.found(facts, query), query
        ledger.close()

    @pytest.mark.parametrize("descending", [True, False])
    @pytest.mark.parametrize("order", [None, "loss"])
    @pytest.mark.parametrize("limit", [1, 3, 7, 50])
    def test_pages_cover_everything_exactly_once(
        self, ledger: Ledger, limit: int, order: str | None, descending: bool
    ) -> None:
        spread: list[dict[str, float | str]] = [{"loss": n % 4} if n % 3 else {} for n in range(20)]
        ledger.append([_fact(f"f-{n}", attributes=attributes) for n, attributes in enumerate(spread)])
        whole = Query(order=order, descending=descending)
        pages = (
            ledger.find(msgspec.structs.replace(whole, limit=limit, offset=at)) for at in range(0, 20 + limit, limit)
        )
        ids = [found.id for page in pages for found in page]
        assert ids == [found.id for found in ledger.find(whole)]
        assert sorted(ids) == sorted(f"f-{n}" for n in range(20))

    def test_a_page_that_cannot_be_is_refused(self, ledger: Ledger) -> None:
        for query in (Query(limit=-1), Query(offset=-1), Query(limit=2**80)):
            with pytest.raises(UsageError):
                ledger.find(query)

    # history

    def test_history_tells_all_facts_in_the_order_they_were_recorded(self, ledger: Ledger) -> None:
        assert ledger.history() == []
        facts = [_fact(f"f-{n}", time=NOON - timedelta(hours=n), attributes={"n": n}) for n in range(7)]
        ledger.append(facts[:3])
        ledger.append([*facts[2:], facts[0]])
        whole = ledger.history()
        assert [entry.fact for entry in whole] == facts
        assert [entry.number for entry in whole] == [1, 2, 3, 4, 5, 6, 7]
        assert len({entry.chain for entry in whole}) == 7
        assert all(abs(entry.recorded - datetime.now(UTC)) < timedelta(minutes=5) for entry in whole)
        assert ledger.history(after=2, limit=3) == whole[2:5]
        assert ledger.history(after=7) == ledger.history(limit=0) == []
        with pytest.raises(UsageError):
            ledger.history(limit=-1)

    def test_history_read_on_from_the_last_number_misses_nothing(self, ledger: Ledger) -> None:
        read: list[Entry] = []
        with ThreadPoolExecutor(4) as busy:
            writing = [busy.submit(lambda w: [ledger.append([_fact(f"{w}-{n}")]) for n in range(10)], w) for w in "abc"]
            while not all(writer.done() for writer in writing):
                read += ledger.history(after=len(read), limit=2)
        read += ledger.history(after=len(read))
        assert [entry.number for entry in read] == list(range(1, 31))
        assert {entry.fact.id for entry in read} == {f"{writer}-{n}" for writer in "abc" for n in range(10)}

    # series

    @_LAWS
    @given(st.lists(st.lists(_points, max_size=5), max_size=3))
    def test_a_series_holds_the_last_value_of_each_step(
        self, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Point]]
    ) -> None:
        ledger = self.open(tmp_path_factory.mktemp("ledger"))
        for batch in batches:
            ledger.record("loss", iter(batch))
        ledger.record("other", [Point(1, 2.0, NOON)])
        last = {point.step: point for batch in batches for point in batch}
        assert _plain(ledger.points("loss")) == _plain(last[step] for step in sorted(last))
        assert ledger.points("other") == [Point(1, 2.0, NOON)]
        assert ledger.points("none") == []
        ledger.close()

    @_LAWS
    @given(st.lists(_points, min_size=1, max_size=5, unique_by=lambda point: point.step))
    def test_a_curve_travels_from_one_ledger_to_another(
        self, tmp_path_factory: pytest.TempPathFactory, points: list[Point]
    ) -> None:
        here, there = (self.open(tmp_path_factory.mktemp("ledger")) for _ in range(2))
        run = fact("run", "model/delay", time=NOON, body={"curves": {"loss": len(points), "other": 1}})
        loss, other = series(run.id, "loss"), series(run.id, "other")
        here.record(loss, points)
        here.record(other, [Point(1, 2.0, NOON)])
        there.record(other, [Point(1, 3.0, NOON)])
        for _ in range(2):
            record_curves(there, list(curves_of(here, [run])))
        assert _plain(there.points(loss)) == _plain(here.points(loss))
        assert there.points(other) == [Point(1, 3.0, NOON)]  # was there already
        here.close()
        there.close()

    def test_a_step_beyond_64_bits_is_refused_and_records_nothing(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError):
            ledger.record("loss", [Point(1, 1.0, NOON), Point(2**63, 1.0, NOON)])
        assert ledger.points("loss") == []

    # many writers

    def test_threads_that_append_at_once_all_get_their_own(self, ledger: Ledger) -> None:
        def write(writer: int) -> list[Fact]:
            return [ledger.append([_fact(f"{writer}-{n}", body={"n": n})])[0] for n in range(20)]

        written = _at_once(8, write)
        assert written == [[_fact(f"{writer}-{n}", body={"n": n}) for n in range(20)] for writer in range(8)]
        held = [found.id for found in ledger.find(Query(limit=1000, descending=False))]
        assert sorted(held) == sorted(f"{writer}-{n}" for writer in range(8) for n in range(20))
        for writer in range(8):
            assert [id for id in held if id.startswith(f"{writer}-")] == [f"{writer}-{n}" for n in range(20)]
        assert ledger.verify() is None

    def test_threads_that_append_the_same_fact_all_get_the_first(self, ledger: Ledger) -> None:
        written = _at_once(8, lambda writer: ledger.append([_fact("one", body={"writer": writer})]))
        assert written == [[ledger.get("one")]] * 8

    def test_a_writer_that_fails_fails_alone(self, ledger: Ledger) -> None:
        ledger.append([_fact("first")], [Move("n", None, "first")])

        def write(writer: int) -> bool:
            moves = [Move("n", "elsewhere", "first")] if writer % 2 else []
            try:
                ledger.append([_fact(f"w{writer}")], moves)
            except NameMoved:
                return False
            return True

        for _ in range(5):
            assert _at_once(8, write) == [True, False] * 4
        assert {found.id for found in ledger.find(Query())} == {"first", "w0", "w2", "w4", "w6"}
        assert ledger.verify() is None

    def test_threads_that_count_lose_nothing(self, ledger: Ledger) -> None:
        _at_once(6, lambda writer: [workers.increment(ledger) for _ in range(5)])
        assert _counted(ledger) == 30

    def test_processes_that_count_lose_nothing(self, tmp_path: Path) -> None:
        counting = [workers.start(workers.count, self.address(tmp_path), tmp_path, 15) for _ in range(4)]
        assert [process.communicate() and process.returncode for process in counting] == [0, 0, 0, 0]
        ledger = self.open(tmp_path)
        assert _counted(ledger) == 60
        assert ledger.verify() is None
        ledger.close()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_a_ledger_opened_before_a_fork_serves_both_sides(self, ledger: Ledger) -> None:
        ledger.append([_fact("before")])
        with ThreadPoolExecutor(2) as busy:
            writing = [busy.submit(lambda: [workers.increment(ledger) for _ in range(10)]) for _ in range(2)]
            children = [_fork(lambda: [workers.increment(ledger) for _ in range(10)]) for _ in range(2)]
            for written in writing:
                written.result()
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
        assert _counted(ledger) == 40
        assert ledger.verify() is None

    # the end

    def test_what_was_acknowledged_survives_kill(self, tmp_path: Path) -> None:
        acknowledged: list[str] = []
        for _ in range(3):
            killed = [workers.start(workers.append, self.address(tmp_path), tmp_path) for _ in range(2)]
            acknowledged += [id for worker in killed for id in workers.kill_at_random(worker)]
        ledger = self.open(tmp_path)
        assert ledger.verify() is None
        for id in acknowledged:
            assert ledger.get(id) is not None
            assert ledger.name(f"event/{id}") == id
            assert len(ledger.points(f"series/{id}")) == 1
        named = ledger.names("event/")
        assert len(named) == len(ledger.find(Query(limit=1_000_000)))
        ledger.close()

    def test_a_closed_ledger_says_so(self, ledger: Ledger) -> None:
        ledger.close()
        ledger.close()
        uses: list[Callable[[], object]] = [
            lambda: ledger.append([_fact("a")]),
            lambda: ledger.get("a"),
            lambda: ledger.find(Query()),
        ]
        for use in uses:
            with pytest.raises(StoreError):
                use()


def _fact(id: str, *, time: datetime = NOON, **parts: Any) -> Fact:
    content: dict[str, Any] = {"id": id, "kind": "test", "subject": "suite", "time": time}
    return Fact(**content | parts)


def _noise(length: int) -> str:
    """A text of this length that does not get shorter by packing; a longer one begins with a shorter."""
    return "".join(random.Random(7).choices("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=length))


def _plain(points: Any) -> list[tuple[int, float | None, datetime]]:
    """Points in a form that is equal where a value is not a number."""
    return [(point.step, None if math.isnan(point.value) else point.value, point.time) for point in points]


def _counted(ledger: Ledger) -> int:
    last = ledger.get(ledger.name("counter") or "")
    assert last is not None
    return int(last.body["value"])


def _at_once(threads: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(threads)))


def _fork(work: Callable[[], object]) -> int:
    """The id of a copy of this process that does the work and ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: just what is tried here
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child
