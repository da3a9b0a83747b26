"""The description of the endpoint: valid, true of the model, and true of what the endpoint does when it is fuzzed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_kit import INPUTS, MODEL, gateway, open_home, package, release, row, talk

from keepfit.datasets.dataset import Column
from keepfit.serving.dialects.arrow import TYPE as ARROW
from keepfit.serving.dialects.openapi import example, value_schema
from keepfit.serving.gateway import Running
from keepfit.serving.signature import Signature


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("project")
    home = open_home(root)
    release(home, 1, package(home, 1, levels=["low", "high"]))
    with gateway(root, max_body=100_000, max_rows=100) as running:
        yield running


def test_it_is_valid_and_its_examples_are_answered(running: Running) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="pip install openapi-spec-validator")
    told = talk(running, "/openapi.json").json
    validator.validate(told)
    schemas = told["components"]["schemas"]
    for path, name in (
        ("/predict", "Rows"),
        ("/invocations", "MlflowRequest"),
        (f"/v2/models/{MODEL}/infer", "OipRequest"),
    ):
        assert path in told["paths"]
        answer = talk(running, path, schemas[name]["examples"][0])
        assert answer.status == 200, answer.body


def test_the_schema_is_the_models_own(running: Running) -> None:
    schemas = talk(running, "/openapi.json").json["components"]["schemas"]
    values = schemas["Row"]["properties"]
    assert schemas["Row"]["required"] == list(INPUTS)
    assert values["x"] == {"type": "number", "minimum": -1e6, "maximum": 1e6, "examples": [0.0]}
    assert values["level"]["enum"] == ["low", "high", None]
    assert (values["at"]["type"], values["at"]["format"]) == ("string", "date-time")
    assert values["note"]["type"] == ["string", "null"]
    assert schemas["Prediction"]["properties"]["prediction"]["enum"] == ["low", "high"]


@given(
    st.sampled_from(["number", "integer"]),
    st.none() | st.floats(-1e9, 1e9),
    st.none() | st.floats(0, 1e9),
)
def test_an_example_keeps_the_contract(kind: Any, low: float | None, width: float | None) -> None:
    high = None if width is None else (low or 0.0) + width + 1
    column = Column(type=kind, at_least=low, at_most=high)
    body = msgspec.json.encode({"rows": [{"x": example(column)}]})
    assert Signature({"x": column}).decode(body, 1).bad == {}
    assert value_schema(column)["examples"] == [example(column)]


# -- fuzz

DEEP = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
CELLS = {
    "at": st.sampled_from(["2013-05-02T10:00:00Z", "2013-05-02", "", None, 3]),
    "x": st.floats(allow_nan=False) | st.integers() | st.none() | st.text(max_size=2),
    "note": st.text(max_size=3) | st.none(),
    "level": st.sampled_from(["low", "high", "middle", None, 1]),
    "place": st.text(max_size=3) | st.none() | DEEP,
}
ROWS = st.lists(st.fixed_dictionaries(CELLS) | DEEP, max_size=3)
TENSORS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from([*row(0), "m"]),
            "shape": st.lists(st.integers(-1, 4), max_size=3) | DEEP,
            "datatype": st.sampled_from(["FP64", "BYTES", "INT8", "BOOL", "?"]) | DEEP,
        },
        optional={
            "data": st.lists(DEEP, max_size=4) | DEEP,
            "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9) | DEEP}),
        },
    ),
    max_size=6,
)
BODIES = st.one_of(
    st.fixed_dictionaries({"rows": ROWS}),
    st.fixed_dictionaries({"columns": st.dictionaries(st.sampled_from(list(row(0))), st.lists(DEEP, max_size=3))}),
    *(st.fixed_dictionaries({form: ROWS | DEEP}) for form in ("dataframe_split", "dataframe_records", "instances")),
    st.fixed_dictionaries({"inputs": ROWS | TENSORS | DEEP}, optional={"outputs": DEEP, "id": DEEP}),
    st.fixed_dictionaries({"dataframe_split": st.fixed_dictionaries({"columns": DEEP, "data": st.lists(DEEP)})}),
    st.fixed_dictionaries({"labels": st.lists(st.fixed_dictionaries({"id": DEEP, "label": DEEP}))}),
    DEEP,
).map(msgspec.json.encode)
PATHS = ["/predict", "/invocations", "/labels", f"/v2/models/{MODEL}/infer"]
KINDS = ["application/json", ARROW, "text/csv", "application/x-ndjson", "application/octet-stream", ""]


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(PATHS), BODIES | st.binary(max_size=300), st.sampled_from(KINDS), st.none() | st.integers(0, 99))
def test_whatever_is_sent_is_answered_and_never_by_a_fault(
    running: Running, path: str, body: bytes, kind: str, length: int | None
) -> None:
    more = {} if length is None else {"inference_header_content_length": str(length)}
    answer = talk(running, path, body, kind, **more)
    assert answer.status in (200, 400, 413, 415, 422), (answer.status, answer.body)
    if answer.status != 200:
        told = answer.json
        problem = told.get("problem", told["error"] if path in ("/predict", "/labels") else None)
        assert problem["message"]
        assert "Traceback" not in str(told)


@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="pip install schemathesis")
def test_schemathesis_finds_no_answer_that_is_not_described(running: Running, tmp_path: Path) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {running.token}", "--checks", checks, "--max-examples", "8"]
    command += ["--phases", "examples,fuzzing", "--request-timeout", "20", "--seed", "7", "--generation-deterministic"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
