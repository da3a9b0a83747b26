"""The Open Inference Protocol over gRPC, spoken by the client of Triton; its bytes held against protobuf's own."""

from __future__ import annotations

import importlib.util
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_kit import ask, gateway, open_home, package, release, until
from test_clients import needs, script

from keepfit.core.errors import ServingError
from keepfit.serving.dialects.protobuf import decode, encode
from keepfit.serving.dialects.rpc import _infer, _inferred, _model
from keepfit.serving.gateway import Running
from keepfit.serving.log import read_log

needs_grpc = pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="pip install grpcio")
needs_triton = needs("tritonclient", "tritonclient[grpc]")
LIMITS = {"max_rows": 200, "max_body": 100_000}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """Version 2, and version 1 beside it; and where gRPC is spoken."""
    root = tmp_path_factory.mktemp("project")
    home = open_home(root)
    release(home, 1, package(home, 1))
    release(home, 2, package(home, 2))
    port = free_port()
    with gateway(root, grpc=port, **LIMITS) as running:
        until(lambda: ask(running, "GET", "/model")["previous"])
        yield running, f"127.0.0.1:{port}"


START = """
import os
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb, service_pb2_grpc
from tritonclient.utils import InferenceServerException
import grpc

bearer = {"authorization": "Bearer " + os.environ["TOKEN"]}
rows = eval(os.environ["ROWS"])
client = triton.InferenceServerClient(os.environ["GRPC"])
stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(os.environ["GRPC"]))
metadata = tuple(bearer.items())

def inputs(rows):
    found = []
    for tensor in client.get_model_metadata("toy", headers=bearer).inputs:
        values = [row[tensor.name] for row in rows]
        array = np.array(values, np.float64 if tensor.datatype == "FP64" else object)
        found.append(triton.InferInput(tensor.name, [len(rows)], tensor.datatype))
        found[-1].set_data_from_numpy(array)
    return found

def refused(call, *words, **more):
    try:
        call(*words, **more)
    except (InferenceServerException, grpc.RpcError) as problem:
        code = problem.status() if isinstance(problem, InferenceServerException) else str(problem.code())
        told = problem.message() if isinstance(problem, InferenceServerException) else problem.details()
        return code.removeprefix("StatusCode."), told
    raise AssertionError("not refused")
"""


def spoken(place: tuple[Running, str], text: str) -> str:
    return script(place[0], START + text, GRPC=place[1])


@needs_grpc
@needs_triton
def test_the_client_of_triton(place: tuple[Running, str]) -> None:
    told = spoken(
        place,
        """
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("toy", headers=bearer) and client.is_model_ready("toy", "1", headers=bearer)
assert client.get_server_metadata(headers=bearer).name == "keepfit"
told = client.get_model_metadata("toy", headers=bearer)
assert list(told.versions) == ["2", "1"] and [(o.name, o.datatype) for o in told.outputs][0] == ("prediction", "FP64")
for version, first in (("", 2001.0), ("1", 1001.0)):
    for wanted in (None, [triton.InferRequestedOutput("id"), triton.InferRequestedOutput("prediction")]):
        answer = client.infer("toy", inputs(rows), version, outputs=wanted, request_id="mine", headers=bearer)
        assert answer.as_numpy("prediction").tolist() == [first, first + 1], answer.get_response()
        assert answer.get_response().id == "mine" and answer.get_response().model_version == (version or "2")
        assert all(id.startswith(b"p-") for id in answer.as_numpy("id").tolist())

contents = pb.ModelInferRequest(model_name="toy")  # as other clients send them
for name, kind, field, values in (
    ("at", "BYTES", "bytes_contents", [row["at"].encode() for row in rows]),
    ("x", "FP64", "fp64_contents", [row["x"] for row in rows]),
    ("note", "BYTES", "bytes_contents", [b"a", b"b"]),
    ("level", "BYTES", "bytes_contents", [b"low", b"high"]),
    ("place", "BYTES", "bytes_contents", [b"EWR", b"JFK"]),
):
    tensor = contents.inputs.add(name=name, datatype=kind, shape=[2])
    getattr(tensor.contents, field).extend(values)
answer = stub.ModelInfer(contents, metadata=metadata)
assert list(answer.outputs[0].contents.fp64_contents) == [2001.0, 2002.0] and not answer.raw_output_contents
quiet = stub.ModelInfer(contents, metadata=(*metadata, ("keepfit-log", "off")))
print(answer.outputs[1].contents.bytes_contents[0].decode(), quiet.outputs[1].contents.bytes_contents[0].decode())
""",
    )
    logged, quiet = told.split()
    ask(place[0], "POST", "/control/sync", {})
    ids = set(read_log(Path(place[0]._job.root) / ".keepfit" / "serving" / "log")["id"])
    assert logged in ids and quiet not in ids


@needs_grpc
@needs_triton
def test_what_is_refused_has_its_status(place: tuple[Running, str]) -> None:
    spoken(
        place,
        """
def check(code, word, call, *words, **more):
    told = refused(call, *words, **more)
    assert told[0] == code and word in told[1], told

good = inputs(rows)
check("UNAUTHENTICATED", "token", client.infer, "toy", good)
check("UNAUTHENTICATED", "token", client.infer, "toy", good, headers={"authorization": "Bearer no"})
check("UNAUTHENTICATED", "token", client.get_server_metadata)
check("NOT_FOUND", "there is no model `tye`", client.infer, "tye", good, headers=bearer)
check("NOT_FOUND", "version `7` is not loaded", client.infer, "toy", good, "7", headers=bearer)
check("INVALID_ARGUMENT", "`note` is missing", client.infer, "toy", good[:2] + good[3:], headers=bearer)
bad = [rows[0], {**rows[1], "level": "lwo"}]
check("INVALID_ARGUMENT", "did you mean `low`", client.infer, "toy", inputs(bad), headers=bearer)
fail = [rows[0], {**rows[1], "note": "raise"}]
check("INVALID_ARGUMENT", "raised an error on this row", client.infer, "toy", inputs(fail), headers=bearer)
wrong = [triton.InferRequestedOutput("predictoin")]
check("INVALID_ARGUMENT", "did you mean `prediction`", client.infer, "toy", good, outputs=wrong, headers=bearer)
check("RESOURCE_EXHAUSTED", "more than 200 rows", client.infer, "toy", inputs(rows * 150), headers=bearer)
check("RESOURCE_EXHAUSTED", "larger than max", client.infer, "toy", inputs(rows * 2000), headers=bearer)
raw = grpc.insecure_channel(os.environ["GRPC"])
ask = raw.unary_unary("/inference.GRPCInferenceService/ModelInfer")
for junk in (b"\\xff", b"\\x0a\\xff\\x01", b"\\x0b", os.urandom(200)):
    assert refused(ask, junk, metadata=metadata)[0] in ("INVALID_ARGUMENT", "NOT_FOUND"), junk
assert refused(raw.unary_unary("/inference.GRPCInferenceService/Nothing"), b"", metadata=metadata)[0] == "UNIMPLEMENTED"
empty = pb.ModelInferRequest(model_name="toy")
check("INVALID_ARGUMENT", "$.inputs", stub.ModelInfer, empty, metadata=metadata)
odd = pb.ModelInferRequest(model_name="toy", raw_input_contents=[b""])
odd.inputs.add(name="x", datatype="FP64", shape=[1]), odd.inputs.add(name="y", datatype="FP64", shape=[1])
check("INVALID_ARGUMENT", "one for each of the 2 inputs", stub.ModelInfer, odd, metadata=metadata)
odd = pb.ModelInferRequest(model_name="toy")
odd.inputs.add(name="x", datatype="FP64", shape=[1]).contents.fp32_contents.append(1)
check("INVALID_ARGUMENT", "a shape of the 0 values", stub.ModelInfer, odd, metadata=metadata)
assert client.infer("toy", good, headers=bearer).as_numpy("prediction").tolist() == [2001.0, 2002.0]
""",
    )


@needs_grpc
def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServingError, match=f"cannot listen on 127.0.0.1:{port} for gRPC") as caught,
            gateway(tmp_path, grpc=port),
        ):
            pass
    assert "`grpc` under [serve]" in (caught.value.hint or "")


WORDS = st.text(max_size=20)
INTS = st.integers(-(2**63), 2**63 - 1)
TENSORS = st.lists(
    st.fixed_dictionaries(
        {
            "name": WORDS,
            "datatype": WORDS,
            "shape": st.lists(INTS, max_size=3),
            "contents": st.fixed_dictionaries(
                {
                    "bool_contents": st.lists(st.booleans(), max_size=4),
                    "int_contents": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
                    "int64_contents": st.lists(INTS, max_size=4),
                    "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=4),
                    "uint64_contents": st.lists(st.integers(0, 2**64 - 1), max_size=4),
                    "fp32_contents": st.lists(st.floats(width=32, allow_nan=False), max_size=4),
                    "fp64_contents": st.lists(st.floats(allow_nan=False), max_size=4),
                    "bytes_contents": st.lists(st.binary(max_size=9), max_size=4),
                }
            ),
        }
    ),
    max_size=3,
)


def same(found: dict[str, Any], meant: dict[str, Any]) -> None:
    for name, value in meant.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for one, other in zip(found[name], value, strict=True):
                same(one, other)
        elif isinstance(value, dict):
            same(found.get(name, {}), value)
        else:
            assert (found.get(name) or None) == (value or None)


@needs_triton
@pytest.mark.filterwarnings("ignore")
@given(WORDS, TENSORS, st.lists(st.binary(max_size=50), max_size=3))
def test_messages_are_those_of_protobuf(name: str, tensors: list[dict[str, Any]], raw: list[bytes]) -> None:
    from tritonclient.grpc import service_pb2 as pb

    meant = {"model_name": name, "model_version": "1", "id": name, "outputs": tensors, "raw": raw}
    theirs = pb.ModelInferResponse.FromString(encode(_inferred, meant))
    assert (theirs.model_name, theirs.id, list(theirs.raw_output_contents)) == (name, name, raw)
    same(decode(_inferred, theirs.SerializeToString()), meant)
    asked = pb.ModelInferRequest(model_name=name, raw_input_contents=raw)
    for one in tensors:
        made = asked.inputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
        made.parameters["unknown"].int64_param = 7
        for field, values in one["contents"].items():
            getattr(made.contents, field).extend(values)
    same(decode(_infer, asked.SerializeToString()), {"model_name": name, "inputs": tensors, "raw": raw})


@given(st.binary(max_size=300))
def test_other_bytes_are_refused_or_read_but_never_break(data: bytes) -> None:
    for message in (_infer, _inferred, _model):
        try:
            found = decode(message, data)
        except ValueError:
            continue
        assert isinstance(found, dict)


def test_bytes_that_are_cut_off_anywhere_are_refused_or_a_shorter_message() -> None:
    whole = encode(_model, {"name": "toy", "versions": ["1", "2"], "inputs": [{"name": "x", "shape": [-1, 3]}]})
    assert decode(_model, whole)["inputs"][0]["shape"] == [-1, 3]
    for end in random.Random(1).sample(range(len(whole)), 10):
        try:
            decode(_model, whole[:end])
        except ValueError as problem:
            assert "cut off" in str(problem) or "behind" in str(problem)
