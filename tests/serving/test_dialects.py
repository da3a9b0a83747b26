"""One model, many languages: the same answers, the same rules, each dialect's own words."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import socket
import struct
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_kit import (
    MODEL,
    ask,
    gateway,
    open_home,
    package,
    predict,
    release,
    row,
    sent,
    talk,
    until,
)

from keepfit.datasets.dataset import Column
from keepfit.serving.dialects.arrow import TYPE as ARROW
from keepfit.serving.dialects.ipc import batches
from keepfit.serving.gateway import Running
from keepfit.serving.signature import Signature
from keepfit.serving.tables import table as unpacked
from keepfit.serving.truth import labelled
from keepfit.serving.wire import Packer, Table

CSV = "text/csv"
LIMITS = {"max_rows": 2000, "max_body": 1_000_000, "max_requests": 16, "body_within": "1s"}
NUMBERS = {"x": Column(type="number"), "n": Column(type="integer", missing=0)}
NUMBERS_CODE = """
import polars as pl

def features(toys):
    return toys.select(x=pl.col("x").fill_null(0.0), huge=0.0)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Version 2, and version 1 beside it."""
    root = tmp_path_factory.mktemp("project")
    home = open_home(root)
    release(home, 1, package(home, 1))
    release(home, 2, package(home, 2))
    with gateway(root, key="place", **LIMITS) as running:
        until(lambda: ask(running, "GET", "/model")["previous"])
        yield running


def stream(frame: pl.DataFrame, **options: Any) -> bytes:
    file = io.BytesIO()
    frame.write_ipc_stream(file, **options)
    return file.getvalue()


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides={"note": pl.String})


def tensors(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {"x": "FP64"}
    return [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": kinds.get(name, "BYTES"),
            "data": [{**r, "note": "a"}[name] for r in rows],
        }
        for name in row(0)
    ]


# -- the same answer in every language


def test_every_dialect_gives_the_same_answers(running: Running) -> None:
    rows = [row(float(x), note="a") for x in range(4)]
    expected = [2000.0 + x for x in range(4)]
    names, values = list(rows[0]), [list(r.values()) for r in rows]
    columns = {name: [r[name] for r in rows] for name in names}
    for form in (
        {"dataframe_split": {"columns": names, "data": values, "index": [0, 1, 2, 3]}},
        {"dataframe_records": rows, "params": {"a": 1}},
        {"instances": rows},
        {"instances": values},
        {"inputs": columns},
        {"inputs": values},
        {"inputs": rows},
    ):
        assert talk(running, "/invocations", form).json == {"predictions": expected}, form
    text = frame(*rows).write_csv().encode()
    assert talk(running, "/invocations", text, CSV).json == {"predictions": expected}
    assert pl.read_csv(talk(running, "/predict", text, CSV).body)["prediction"].to_list() == expected
    answer = talk(running, "/predict", stream(frame(*rows)), ARROW)
    assert pl.read_ipc_stream(answer.body)["prediction"].to_list() == expected
    outputs = talk(running, f"/v2/models/{MODEL}/infer", {"inputs": tensors(*rows)}).json["outputs"]
    assert outputs[0] == {"name": "prediction", "datatype": "FP64", "shape": [4], "data": expected}


@pytest.mark.parametrize("body", ["application/json", ARROW, CSV])
@pytest.mark.parametrize("accept", ["", "*/*", "application/json", ARROW, CSV, f"image/png, {CSV};q=0.9, */*"])
def test_the_answer_comes_as_it_is_accepted(running: Running, body: str, accept: str) -> None:
    one = frame(row(1.0), row(2.0))
    content = {"application/json": {"rows": [row(1), row(2)]}, ARROW: stream(one), CSV: one.write_csv().encode()}[body]
    answer = talk(running, "/predict", content, body, **({"accept": accept} if accept else {}))
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind == (body if accept in ("", "*/*") else CSV if CSV in accept else accept)
    read = {
        "application/json": lambda b: [p["prediction"] for p in msgspec.json.decode(b)["predictions"]],
        ARROW: lambda b: pl.read_ipc_stream(b)["prediction"].to_list(),
        CSV: lambda b: pl.read_csv(b)["prediction"].to_list(),
    }[kind]
    assert read(answer.body) == [2001, 2002]


def test_a_bad_row_of_a_table_fails_alone_and_nothing_of_the_model_leaks(running: Running) -> None:
    rows = frame(row(1.0), row(2.0, note="raise"), row(float("nan")), row(float("inf")), row(5.0))
    found = pl.read_ipc_stream(talk(running, "/predict", stream(rows), ARROW).body)
    assert found["prediction"].to_list() == [2001, None, None, None, 2005]
    told = found["error"].to_list()
    assert told[0] is None
    assert [text.partition(":")[0] for text in told[1:4]] == ["model-failed", "invalid-value", "invalid-value"]
    assert told[2].endswith("at $.x[2]: expected a number >= -1e+06 <= 1e+06, received null")
    assert "secret" not in str(told)
    text = b"level,at,x,note,place\nlow,2013-05-02 10:00,1,,EWR\nlow,2013-05-02,one,,EWR\n"
    found = pl.read_csv(talk(running, "/predict", text, CSV).body)
    assert found["prediction"].to_list() == [2001, None]
    assert 'received "one"' in found["error"][1]


def test_who_answered_is_told_when_it_is_asked(running: Running) -> None:
    body = {"inputs": tensors(row(1))}
    for path, version, route in (
        (f"/v2/models/{MODEL}/infer", "2", "champion"),
        (f"/v2/models/{MODEL}/versions/2/infer", "2", "version"),
        (f"/v2/models/{MODEL}/versions/1/infer", "1", "version"),
    ):
        assert "keepfit-route" not in talk(running, path, body).headers
        answer = talk(running, f"{path}?explain=route", body)
        told = {name: answer.headers[f"keepfit-{name}"] for name in ("route", "version")}
        assert told == {"route": route, "version": version}
        assert answer.json["model_version"] == version
        assert answer.json["outputs"][0]["data"] == [1000 * int(version) + 1]
    for path, some in (("/predict", {"rows": [row(1)]}), ("/invocations", {"instances": [row(1)]})):
        assert talk(running, f"{path}?log=off&explain=route", some).headers["keepfit-release"].startswith("release-")


# -- Open Inference Protocol


def test_the_protocol_says_what_there_is(running: Running) -> None:
    assert talk(running, "/v2").json["extensions"] == ["binary_tensor_data"]
    assert talk(running, "/v2/health/live").json == {"live": True}
    assert talk(running, "/v2/health/ready").json == {"ready": True}
    told = talk(running, f"/v2/models/{MODEL}").json
    assert (told["name"], told["versions"]) == (MODEL, ["2", "1"])
    assert told["inputs"][1] == {"name": "x", "datatype": "FP64", "shape": [-1]}
    assert [output["name"] for output in told["outputs"]] == ["prediction", "id"]
    assert talk(running, f"/v2/models/{MODEL}/versions/1").json == told
    assert talk(running, f"/v2/models/{MODEL}/versions/1/ready").json == {"name": MODEL, "ready": True}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/models/other", None, 404),
        ("/v2/models/other/infer", {"inputs": []}, 404),
        (f"/v2/models/{MODEL}/versions/3/infer", {"inputs": []}, 404),
        (f"/v2/models/{MODEL}/versions", None, 404),
        (f"/v2/models/{MODEL}/explain", {"inputs": []}, 404),
        (f"/v2/models/{MODEL}/infer", None, 405),
        (f"/v2/models/{MODEL}/ready", {}, 405),
        ("/v2/", None, 404),
        ("/v2/models", None, 404),
        ("/v2/repository/index", {}, 404),
    ],
)
def test_what_is_not_there_is_told_in_the_protocols_own_words(
    running: Running, path: str, body: Any, status: int
) -> None:
    answer = talk(running, path, body)
    assert answer.status == status
    assert isinstance(answer.json["error"], str)


def changed(number: int, **change: Any) -> list[dict[str, Any]]:
    inputs = tensors(row(1), row(2))
    inputs[number] |= change
    return inputs


@pytest.mark.parametrize(
    ("inputs", "path", "feature"),
    [
        (changed(1, data=[1, "two"]), "$.inputs[1].data[1]", "x"),
        (changed(1, data=[1, 1e9]), "$.inputs[1].data[1]", "x"),
        (changed(3, data=["low", "middle"]), "$.inputs[3].data[1]", "level"),
        (changed(1, name="y"), "$.inputs.y", "y"),
        (tensors(row(1))[1:], "$.inputs.at", "at"),
        ([*tensors(row(1)), tensors(row(1))[0]], "$.inputs", None),
        (changed(1, data=[1]), "$.inputs[1].shape", None),
        (changed(1, data=[1, 2, 3]), "$.inputs[1].shape", None),
        (changed(1, shape=[1, 2]), "$.inputs[1].shape", None),
        (changed(1, shape=[-2]), "$.inputs[1].shape", None),
        (changed(1, shape=[]), "$.inputs[1].shape", None),
        (changed(1, datatype="FP65"), "$.inputs[1].datatype", None),
        (changed(1, data=[1, [2]]), "$.inputs[1].data", None),
        (changed(1, data=[[[1]], [[2]]]), "$.inputs[1].data", None),
        (changed(1, data=None), "$.inputs[1].data", None),
        (changed(1, data=None, parameters={"binary_data_size": 8}), "$.inputs[1].parameters.binary_data_size", None),
        (changed(1, shape="two"), "$.inputs[1].shape", None),
        ([], "$.inputs.at", "at"),
    ],
)
def test_a_wrong_tensor_is_explained(running: Running, inputs: Any, path: str, feature: str | None) -> None:
    answer = talk(running, f"/v2/models/{MODEL}/infer", {"inputs": inputs})
    told = answer.json
    assert (answer.status, told["problem"]["path"], told["problem"].get("feature")) == (422, path, feature)
    assert path in told["error"]


def binary(inputs: list[dict[str, Any]], *contents: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request whose tensors are bytes."""
    for tensor, content in zip(inputs, contents, strict=True):
        tensor.pop("data", None)
        tensor["parameters"] = {"binary_data_size": len(content)}
    head = msgspec.json.encode({"inputs": inputs, **more})
    return head + b"".join(contents), {"inference_header_content_length": str(len(head))}


def texts(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)


def test_tensors_go_as_bytes_both_ways(running: Running) -> None:
    inputs = tensors(row(1), row(2))
    contents = [texts(*t["data"]) if t["datatype"] == "BYTES" else struct.pack("<2d", *t["data"]) for t in inputs]
    body, headers = binary(inputs, *contents, id="mine", parameters={"binary_data_output": True})
    answer = talk(running, f"/v2/models/{MODEL}/infer", body, "", **headers)
    length = int(answer.headers["inference-header-content-length"])
    head = msgspec.json.decode(answer.body[:length])
    sizes = [output["parameters"]["binary_data_size"] for output in head["outputs"]]
    assert head["id"] == "mine"
    assert struct.unpack("<2d", answer.body[length : length + sizes[0]]) == (2001, 2002)
    assert len(answer.body) == length + sum(sizes)
    wanted = [{"name": "id"}, {"name": "prediction", "parameters": {"binary_data": True}}]
    body, headers = binary(tensors(row(1), row(2)), *contents, outputs=wanted)
    answer = talk(running, f"/v2/models/{MODEL}/infer", body, "application/octet-stream", **headers)
    head = msgspec.json.decode(answer.body[: int(answer.headers["inference-header-content-length"])])
    assert [len(output.get("data", ())) for output in head["outputs"]] == [2, 0]
    for cut in (1, 9, len(b"".join(contents))):
        assert talk(running, f"/v2/models/{MODEL}/infer", body[:-cut], "", **headers).status == 422
    assert talk(running, f"/v2/models/{MODEL}/infer", body + b"x", "", **headers).status == 422
    assert talk(running, f"/v2/models/{MODEL}/infer", body, "", inference_header_content_length="-1").status == 400
    assert talk(running, f"/v2/models/{MODEL}/infer", body, "", inference_header_content_length="9" * 9).status == 400


def test_a_model_of_numbers_takes_one_matrix(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1, inputs=NUMBERS, code=NUMBERS_CODE))
    with gateway(tmp_path) as running:
        path = f"/v2/models/{MODEL}/infer"
        matrix = {"name": "input-0", "shape": [3, 2], "datatype": "FP32", "data": [1, 1, 2, 2, 3, 3]}
        for data in (matrix["data"], [[1, 1], [2, 2], [3, 3]]):
            outputs = talk(running, path, {"inputs": [{**matrix, "data": data}]}).json["outputs"]
            assert outputs[0]["data"] == [1001, 1002, 1003]
        values = np.array([[1, 1], [np.nan, 2], [3, 3]], "<f4")
        body, headers = binary([dict(matrix)], values.tobytes())
        assert talk(running, path, body, "", **headers).json["outputs"][0]["data"] == [1001, 1000, 1003]
        told = talk(running, path, {"inputs": [{**matrix, "data": [1, 1.5, 2, 2, 3, 3]}]}).json["problem"]
        assert (told["path"], told["feature"]) == ("$.inputs[0].data[1]", "n")
        told = talk(running, path, {"inputs": [{**matrix, "shape": [2, 3]}]}).json["problem"]
        assert told["expected"] == "a tensor for each feature (the model has 2 features)"
        for kind, dtype in (("FP16", "<f2"), ("FP64", "<f8"), ("INT8", "<i1"), ("UINT64", "<u8"), ("BOOL", "?")):
            some = np.ones((3, 2), dtype)
            body, headers = binary([{**matrix, "datatype": kind}], some.tobytes())
            answer = talk(running, path, body, "", **headers)
            assert answer.status == (422 if kind == "BOOL" else 200), answer.body


# -- refusals


@pytest.mark.parametrize(
    ("body", "status", "path", "feature"),
    [
        ({"instances": [row("x")]}, 422, "$.instances[0].x", "x"),
        ({"dataframe_records": [row(1, y=2)]}, 422, "$.dataframe_records[0].y", "y"),
        ({"dataframe_split": {"columns": ["x"], "data": [[1]]}}, 422, "$.dataframe_split.data[0].at", "at"),
        ({"dataframe_split": {"columns": ["x"], "data": [[1, 2]]}}, 422, "$.dataframe_split.data[0]", None),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, 422, "$.dataframe_split.columns", None),
        ({"dataframe_split": [1]}, 422, "$.dataframe_split", None),
        ({"inputs": {"x": [1, 2], "at": ["2013-01-01"]}}, 422, "$.inputs", None),
        ({"inputs": {**{k: [v] for k, v in row(1).items()}, "x": ["a"]}}, 422, "$.inputs.x[0]", "x"),
        ({"instances": [[1]]}, 422, "$.instances[0]", None),
        ({"instances": []}, 422, None, None),
        ({"instances": 3}, 422, "$.instances", None),
        ({"instances": [row(1)], "inputs": [row(1)]}, 422, "$", None),
        ({"instances": [row(1)], "more": 1}, 422, "$.more", None),
        ([row(1)], 422, "$", None),
        (b"{", 400, None, None),
        (b"[" * 100_000, 400, None, None),
        ({"instances": [row(1)] * 2001}, 413, None, None),
    ],
)
def test_mlflow_is_told_what_is_wrong(
    running: Running, body: Any, status: int, path: str | None, feature: str | None
) -> None:
    answer = talk(running, "/invocations", body)
    told = answer.json
    problem = told["problem"]
    assert (answer.status, problem.get("path"), problem.get("feature")) == (status, path, feature)
    assert told["error_code"] == "BAD_REQUEST"
    assert told["message"].startswith(problem["message"])


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"no arrow", ARROW, 400, "arrow"),
        (stream(frame(row(1.0)))[:-40], ARROW, 400, "arrow"),
        (stream(frame(row(1.0)), compression="zstd"), ARROW, 415, "arrow"),
        (stream(frame(*[row(1.0)] * 2001)), ARROW, 413, "too-many-rows"),
        (stream(frame(row(1.0)).drop("x")), ARROW, 422, "missing-feature"),
        (stream(frame(row(1.0)).with_columns(y=1)), ARROW, 422, "unknown-feature"),
        (stream(frame(row(1.0)).with_columns(x=pl.lit("a"))), ARROW, 422, "invalid-value"),
        (stream(frame(row(1.0)).with_columns(x=pl.lit([1.0]))), ARROW, 422, "invalid-value"),
        (stream(frame(row(1.0)).with_columns(level=pl.lit(b"a"))), ARROW, 422, "invalid-value"),
        (stream(frame(row(1.0)).clear()), ARROW, 422, "invalid-body"),
        (b"at,x\n\xff,1\n", CSV, 400, "csv"),
        (b"at,at\n1,1\n", CSV, 422, "unknown-feature"),
        (b"x\n1\n", CSV, 422, "missing-feature"),
        (b"at,x,note,level,place\n1,1\n1,1,1,1,1,1,1\n", CSV, 400, "csv"),
        (b"{}", "text/plain", 415, "content-type"),
        (b"{}", "", 415, "content-type"),
    ],
)
def test_wrong_tables_are_refused(running: Running, body: bytes, kind: str, status: int, code: str) -> None:
    answer = talk(running, "/predict", body, kind)
    assert (answer.status, answer.json["error"]["code"]) == (status, code), answer.body


def test_a_body_that_is_too_large_is_refused_in_the_dialects_own_words(running: Running) -> None:
    status, told = sent(running, b" " * 1_000_001, path="/invocations")
    assert (status, told["error_code"], told["problem"]["code"]) == (413, "BAD_REQUEST", "too-large")


def test_a_compressed_body_is_refused(running: Running) -> None:
    assert talk(running, "/predict", b"x", content_encoding="gzip").json["error"]["code"] == "content-encoding"


def test_too_many_at_once_and_too_slow_are_told_when_to_come_again(running: Running) -> None:

    at = urlsplit(running.url)
    head = f"POST /invocations HTTP/1.1\r\nhost: {at.netloc}\r\nauthorization: Bearer {running.token}\r\n"
    head += "content-type: application/json\r\ncontent-length: 10\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((at.hostname, at.port))) for _ in range(16)]
        for connection in slow:
            connection.sendall(head.encode())
        time.sleep(0.2)
        answer = talk(running, "/invocations", {"instances": [row(1)]})
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert answer.json["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        assert talk(running, "/health/live").status == 200
        for connection in slow:
            connection.settimeout(10)
            assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert predict(running, row(1))[0]["prediction"] == 2001


def test_a_token_may_come_as_a_password(running: Running) -> None:

    for password, status in ((running.token, 200), ("wrong", 401), ("", 401)):
        basic = base64.b64encode(f"anyone:{password}".encode()).decode()
        other = Running.__new__(Running)
        other.url, other.token = running.url, "none"
        assert raw(other, f"Basic {basic}") == status
    assert raw(running, "Basic !!!") == 401


def raw(running: Running, authorization: str) -> int:

    at = urlsplit(running.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port)
    connection.request("GET", "/model", headers={"authorization": authorization})
    status = connection.getresponse().status
    connection.close()
    return status


# -- labels


def test_labels_come_by_id_or_key_in_three_forms(running: Running) -> None:

    rows = [row(float(n), place=f"order-{n}", note="keyed") for n in range(6)]
    ids = [p["id"] for p in predict(running, *rows)]
    bodies: list[tuple[Any, str]] = [
        ({"labels": [{"key": "order-0", "label": 10}, {"id": ids[1], "label": 11}]}, "application/json"),
        (f'{{"key": "order-2", "label": 12}}\n{{"id": "{ids[3]}", "label": 13.5}}\n'.encode(), "application/x-ndjson"),
        (b"key,label\norder-4,14\norder-9,1\n", CSV),
    ]
    for body, kind in bodies * 2:  # delivered again, they change nothing
        assert talk(running, "/labels", body, kind).json == {"stored": 2}
    assert ask(running, "POST", "/control/sync", {})["problems"] == []
    root = log_folder_root(running)
    found = labelled(root, datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC))
    kept = found.filter(pl.col("note") == "keyed").sort("x")
    assert kept["label"].to_list() == [10, 11, 12, 13.5, 14, None]


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        ({"labels": [{"label": 1}]}, "application/json", "$.labels[0]"),
        ({"labels": [{"id": "a", "key": "b", "label": 1}]}, "application/json", "$.labels[0]"),
        (b"key,label\na,one\n", CSV, "$[0].label"),
        (b"key,label\n,1\n", CSV, "$[0]"),
        (b"key,truth\na,1\n", CSV, "$[0]"),
        (b"\xff", CSV, "$"),
        (b'{"id": "a"}\n', "application/x-ndjson", "$[0]"),
        (b'{"id": "a", "label": 1}\n{', "application/x-ndjson", "$"),
    ],
)
def test_wrong_labels_are_refused_whole(running: Running, body: Any, kind: str, path: str) -> None:
    answer = talk(running, "/labels", body, kind)
    assert (answer.status, answer.json["error"]["path"]) == (422, path), answer.body


def test_without_a_key_labels_by_key_are_refused_with_the_remedy(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with gateway(tmp_path) as running:
        told = talk(running, "/labels", {"labels": [{"key": "a", "label": 1}]}).json["error"]
        assert (told["path"], told["hint"]) == ("$.labels[0].key", 'name an input column: key = "..." under [serve]')


# -- tables and rows are one thing


KINDS: dict[str, tuple[Any, pl.DataType]] = {
    "timestamp": (st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), pl.Datetime("us")),
    "date": (st.dates(date(1, 1, 2), date(9999, 12, 30)), pl.Date()),
    "category": (st.sampled_from(["a", "", "é"]), pl.String()),
    "integer": (st.integers(-(2**63), 2**63 - 1), pl.Int64()),
    "number": (st.floats(allow_nan=False, allow_infinity=False), pl.Float64()),
    "bool": (st.booleans(), pl.Boolean()),
}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_table_is_packed_as_its_rows_are(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    columns = {f"c{i}": Column(type=kind) for i, kind in enumerate(kinds)}  # type: ignore[arg-type]
    rows = data.draw(st.lists(st.tuples(*(st.none() | KINDS[kind][0] for kind in kinds)), min_size=1, max_size=8))
    schema = dict(zip(columns, (KINDS[kind][1] for kind in kinds), strict=True))
    table = pl.DataFrame(rows, schema=schema, orient="row")
    read = Signature(columns).frame(table, lambda row, name: "$", 10)
    assert isinstance(read.good, Table)
    packer = Packer(columns)
    whole = packer.pack(rows)
    assert packer.pack_blocks([read.good]) == whole
    cut = data.draw(st.integers(0, len(rows)))
    halves = [read.good.part(0, cut), rows[cut:]] if cut < len(rows) else [read.good]
    mixed = msgspec.msgpack.decode(packer.pack_blocks(halves))

    types = {name: column.type for name, column in columns.items()}
    assert unpacked(types, mixed).rows() == unpacked(types, msgspec.msgpack.decode(whole)).rows() == table.rows()


def test_the_heads_of_a_stream_are_read_before_its_columns() -> None:
    table = pl.DataFrame({"a": [1, 2], "b": pl.Series(["x", "y"], dtype=pl.Categorical), "c": [None, None]})
    plain = list(batches(stream(table)))
    assert [(b.rows, b.compressed) for b in plain if not b.dictionary] == [(2, False)]
    assert any(b.compressed for b in batches(stream(table, compression="lz4")))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_damaged_stream_is_refused_or_read(data: st.DataObject) -> None:
    content = bytearray(stream(pl.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(ValueError):
        assert len(list(batches(cut))) < len(content)


def log_folder_root(running: Running) -> Path:
    return Path(running._job.root) / ".keepfit"
