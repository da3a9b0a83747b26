"""Reading rows: what is taken, and how what is not taken is explained."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.datasets.dataset import Column
from keepfit.serving.problems import Rejection
from keepfit.serving.signature import EXPLAINED, Signature
from keepfit.serving.tables import table
from keepfit.serving.wire import Packer

COLUMNS = {
    "dep time": Column(type="timestamp", role="event time"),
    "carrier": Column(type="category", levels=["AA", "UA"]),
    "distance": Column(type="number", at_least=0, at_most=6000),
    "n": Column(type="integer", missing=0, at_least=1.5),
    "ok": Column(type="bool"),
    "day": Column(type="date"),
    "class": Column(type="text"),
}
GOOD = {
    "dep time": "2013-05-02T10:00:00Z",
    "carrier": "AA",
    "distance": 3,
    "n": 4,
    "ok": None,
    "day": "2013-01-01",
    "class": "é\u0000x",
}
SIGNATURE = Signature(COLUMNS)


def refused(body: Any, max_rows: int = 100) -> Rejection:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    with pytest.raises(Rejection) as caught:
        SIGNATURE.decode(content, max_rows)
    return caught.value


def test_rows_and_columns_are_two_forms_of_the_same() -> None:
    by_row = SIGNATURE.decode(msgspec.json.encode({"rows": [GOOD, GOOD]}), 10)
    by_column = SIGNATURE.decode(msgspec.json.encode({"columns": {k: [v, v] for k, v in GOOD.items()}}), 10)
    time = datetime(2013, 5, 2, 10, tzinfo=UTC)
    assert by_row == by_column
    assert by_row.good == [(time, "AA", 3.0, 4, None, date(2013, 1, 1), "é\u0000x")] * 2


@pytest.mark.parametrize(
    "text",
    ["2013-05-02T10:00:00", "2013-05-02T10:00", "2013-05-02 12:00:00+02:00", "20130502T100000Z", "2013-05-02T10:00Z"],
)
def test_iso_times_in_every_form_mean_the_same(text: str) -> None:
    rows = SIGNATURE.decode(msgspec.json.encode({"rows": [{**GOOD, "dep time": text}]}), 10)
    packed = msgspec.msgpack.decode(SIGNATURE.pack_blocks([rows.good]))
    assert int.from_bytes(packed[0], "little") == 1367488800_000_000


@pytest.mark.parametrize(
    ("change", "feature", "expected", "received"),
    [
        ({"carrier": "ZZ"}, "carrier", "one of `AA`, `UA` or null", '"ZZ"'),
        ({"carrier": 3}, "carrier", "one of `AA`, `UA` or null", "3"),
        ({"distance": -1}, "distance", "a number >= 0 <= 6000 or null", "-1"),
        ({"distance": 6000.5}, "distance", "a number >= 0 <= 6000 or null", "6000.5"),
        ({"distance": True}, "distance", "a number >= 0 <= 6000 or null", "true"),
        ({"distance": "3"}, "distance", "a number >= 0 <= 6000 or null", '"3"'),
        ({"distance": [3]}, "distance", "a number >= 0 <= 6000 or null", "an array of 1"),
        ({"distance": 10**400}, "distance", "a number >= 0 <= 6000 or null", None),
        ({"n": 3.5}, "n", "a whole number of 64 bits >= 1.5", "3.5"),
        ({"n": 1}, "n", "a whole number of 64 bits >= 1.5", "1"),
        ({"n": None}, "n", "a whole number of 64 bits >= 1.5", "null"),
        ({"n": 2**63}, "n", "a whole number of 64 bits >= 1.5", "9223372036854775808"),
        ({"n": True}, "n", "a whole number of 64 bits >= 1.5", "true"),
        ({"ok": 1}, "ok", "true or false or null", "1"),
        ({"dep time": "yesterday"}, "dep time", "a time such as `2013-05-02T14:30:00Z`", '"yesterday"'),
        ({"dep time": None}, "dep time", "a time such as `2013-05-02T14:30:00Z`", "null"),
        ({"dep time": 1367488800}, "dep time", "a time such as `2013-05-02T14:30:00Z`", "1367488800"),
        ({"day": "2013-13-01"}, "day", "a date such as `2013-05-02` or null", '"2013-13-01"'),
        ({"class": {"a": 1}}, "class", "a string or null", "an object of 1"),
    ],
)
def test_a_wrong_value_is_explained(change: dict[str, Any], feature: str, expected: str, received: str | None) -> None:
    problem = refused({"rows": [{**GOOD, **change}]}).problem
    assert (problem.code, problem.feature, problem.expected) == ("invalid-value", feature, expected)
    assert received is None or problem.received == received
    assert problem.path == ('$.rows[0]["dep time"]' if " " in feature else f"$.rows[0].{feature}")
    whole = refused({"columns": {k: [{**GOOD, **change}[k]] for k in GOOD}}).problem
    assert whole.path == ('$.columns["dep time"][0]' if " " in feature else f"$.columns.{feature}[0]")


@pytest.mark.parametrize(
    ("body", "status", "code", "path"),
    [
        (b"", 400, "json", None),
        (b'{"rows": [', 400, "json", None),
        (b"\xff\xfe", 400, "json", None),
        (b'{"rows": [{"class": "\xff"}]}', 400, "json", None),
        (b'{"rows": [NaN]}', 400, "json", None),
        (b'{"rows": [{"distance": 1e999}]}', 400, "json", None),
        (b"[" * 100_000, 400, "json", None),
        (b"[]", 422, "invalid-body", "$"),
        (b"3", 422, "invalid-body", "$"),
        (b"{}", 422, "invalid-body", "$"),
        ({"rows": [], "columns": {}}, 422, "invalid-body", "$"),
        ({"rows": []}, 422, "invalid-body", "$.rows"),
        ({"rows": GOOD}, 422, "invalid-body", "$.rows"),
        ({"rows": [3]}, 422, "invalid-row", "$.rows[0]"),
        ({"row": [GOOD]}, 422, "invalid-body", "$.row"),
        ({"columns": []}, 422, "invalid-body", "$.columns"),
        ({"columns": {k: [] for k in GOOD}}, 422, "invalid-body", '$.columns["dep time"]'),
        ({"columns": {k: [v] * (1 + (k == "n")) for k, v in GOOD.items()}}, 422, "invalid-body", "$.columns"),
        ({"columns": {"n": [1]}}, 422, "missing-feature", '$.columns["dep time"]'),
        ({"rows": [{**GOOD, "distanc": 1}]}, 422, "unknown-feature", "$.rows[0].distanc"),
        ({"rows": [{k: v for k, v in GOOD.items() if k != "ok"}]}, 422, "missing-feature", "$.rows[0].ok"),
        ({"rows": [GOOD] * 101}, 413, "too-many-rows", None),
        ({"rows": [GOOD], "ids": []}, 200, None, None),
        ({"rows": [GOOD], "ids": ["a", "b"]}, 422, "invalid-body", "$.ids"),
        ({"rows": [GOOD], "ids": [""]}, 422, "invalid-body", "$.ids"),
        ({"rows": [GOOD], "ids": ["x" * 65]}, 422, "invalid-body", "$.ids"),
        ({"rows": [GOOD], "ids": [7]}, 422, "invalid-body", "$.ids"),
    ],
)
def test_a_wrong_body_is_explained(body: Any, status: int, code: str | None, path: str | None) -> None:
    if status == 200:
        assert SIGNATURE.decode(msgspec.json.encode(body), 100).ids is None
        return
    rejection = refused(body)
    assert (rejection.status, rejection.problem.code, rejection.problem.path) == (status, code, path)


def test_a_misspelt_feature_gets_a_hint() -> None:
    assert refused({"rows": [{**GOOD, "distanc": 1}]}).problem.hint == "did you mean `distance`?"


def test_bad_rows_do_not_take_good_ones_with_them() -> None:
    rows = [GOOD, {**GOOD, "n": None}, GOOD, 3]
    read = SIGNATURE.decode(msgspec.json.encode({"rows": rows, "ids": ["a", "b", "c", "d"]}), 10)
    assert len(read.good) == 2
    assert sorted(read.bad) == [1, 3]
    assert read.ids == ["a", "c"]


def test_explaining_many_bad_rows_is_bounded() -> None:
    read = SIGNATURE.decode(msgspec.json.encode({"rows": [GOOD, *[{**GOOD, "zzz": 1}] * 50]}), 100)
    assert sum(problem.path is not None for problem in read.bad.values()) == EXPLAINED


values = {
    "timestamp": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    "date": st.dates(),
    "category": st.text(max_size=5),
    "text": st.text(max_size=5),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
}


@given(st.data())
def test_what_is_sent_is_what_the_model_sees(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=6))
    columns = {f"c{i} ": Column(type=kind) for i, kind in enumerate(kinds)}  # type: ignore[arg-type]
    cells = [st.none() | values[kind] for kind in kinds]
    rows = data.draw(st.lists(st.tuples(*cells), min_size=1, max_size=4))
    body = msgspec.json.encode({"rows": [dict(zip(columns, row, strict=True)) for row in rows]})
    packed = Packer(columns).pack(Signature(columns).decode(body, 10).good)
    seen = table({n: c.type for n, c in columns.items()}, msgspec.msgpack.decode(packed))
    assert seen.rows() == [tuple(row) for row in rows]
    assert all(dtype != pl.Object for dtype in seen.dtypes)


def test_names_that_json_escapes_are_read_as_all_others_are() -> None:
    columns = {
        'a "quoted" name': Column(type="integer"),
        "back\\slash": Column(type="number"),
        "plain": Column(type="text"),
    }
    signature, row = Signature(columns), {'a "quoted" name': 1, "back\\slash": 2.5, "plain": "x"}
    for body in ({"rows": [row]}, {"columns": {name: [value] for name, value in row.items()}}):
        assert signature.decode(msgspec.json.encode(body), 10).good == [(1, 2.5, "x")]
    assert signature.frame(pl.DataFrame([row]), lambda row, name: "", 10).bad == {}
    with pytest.raises(Rejection) as caught:
        signature.decode(msgspec.json.encode({"rows": [row | {'a "quoted" name': "no"}]}), 10)
    assert "quoted" in (caught.value.problem.path or "")
