"""The Open Inference Protocol, version 2, over gRPC: its messages, and what is answered to them.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol (GRPC)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from keepfit.core.errors import did_you_mean
from keepfit.serving.answering import Answered, Answering
from keepfit.serving.dialects import tensors
from keepfit.serving.dialects.oip import model_metadata, outputs_of, resident, server_metadata, values_of
from keepfit.serving.dialects.protobuf import Field, Kind, Message, decode, encode
from keepfit.serving.dialects.tensors import Tensor
from keepfit.serving.explain import clip
from keepfit.serving.http import Request
from keepfit.serving.problems import Problem, Rejection, rejection

SERVICE = "inference.GRPCInferenceService"

_CONTENTS: dict[str, Kind] = {
    "bool_contents": "bool",
    "int_contents": "int",
    "int64_contents": "int",
    "uint_contents": "uint",
    "uint64_contents": "uint",
    "fp32_contents": "float",
    "fp64_contents": "double",
    "bytes_contents": "bytes",
}
_PLACES = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Which contents hold the elements of a datatype; those of FP16 come raw only."""

_contents: Message = {n: Field(name, kind, many=True) for n, (name, kind) in enumerate(_CONTENTS.items(), 1)}
_shaped: Message = {1: Field("name", "string"), 2: Field("datatype", "string"), 3: Field("shape", "int", many=True)}
_tensor: Message = {**_shaped, 5: Field("contents", _contents)}
_named: Message = {1: Field("name", "string"), 2: Field("version", "string")}
_infer: Message = {
    1: Field("model_name", "string"),
    2: Field("model_version", "string"),
    3: Field("id", "string"),
    5: Field("inputs", _tensor, many=True),
    6: Field("outputs", {1: Field("name", "string")}, many=True),
    7: Field("raw", "bytes", many=True),
}
_inferred: Message = {
    1: Field("model_name", "string"),
    2: Field("model_version", "string"),
    3: Field("id", "string"),
    5: Field("outputs", _tensor, many=True),
    6: Field("raw", "bytes", many=True),
}
_server: Message = {
    1: Field("name", "string"),
    2: Field("version", "string"),
    3: Field("extensions", "string", many=True),
}
_model: Message = {
    1: Field("name", "string"),
    2: Field("versions", "string", many=True),
    3: Field("platform", "string"),
    4: Field("inputs", _shaped, many=True),
    5: Field("outputs", _shaped, many=True),
}


class Call(NamedTuple):
    """What answers one method: bytes in, bytes out, or Rejection."""

    answer: Callable[[bytes, bytes], Awaitable[bytes]]
    """Given the message and the query that a request over HTTP would have."""
    open: bool = False
    """Whether it needs no token."""


def calls(answering: Answering) -> dict[str, Call]:
    """Method -> what answers it."""
    rpc = _Protocol(answering)
    return {
        "ServerLive": Call(rpc.live, open=True),
        "ServerReady": Call(rpc.ready, open=True),
        "ModelReady": Call(rpc.model_ready),
        "ServerMetadata": Call(rpc.server),
        "ModelMetadata": Call(rpc.model),
        "ModelInfer": Call(rpc.infer),
    }


class _Protocol:
    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def live(self, message: bytes, query: bytes) -> bytes:
        return encode({1: Field("live", "bool")}, {"live": True})

    async def ready(self, message: bytes, query: bytes) -> bytes:
        return encode({1: Field("ready", "bool")}, {"ready": self._answering.residents.ready})

    async def model_ready(self, message: bytes, query: bytes) -> bytes:
        asked = _read(_named, message)
        lane = await resident(self._answering, asked.get("name", ""), asked.get("version") or None)
        return encode({1: Field("ready", "bool")}, {"ready": lane.ready})

    async def server(self, message: bytes, query: bytes) -> bytes:
        return encode(_server, server_metadata())

    async def model(self, message: bytes, query: bytes) -> bytes:
        asked = _read(_named, message)
        lane = await resident(self._answering, asked.get("name", ""), asked.get("version") or None)
        return encode(_model, model_metadata(self._answering, lane))

    async def infer(self, message: bytes, query: bytes) -> bytes:
        asked = _read(_infer, message)
        version = asked.get("model_version") or None
        lane = await resident(self._answering, asked.get("model_name", ""), version)
        inputs = tensors.of_binary(_tensors(asked), b"".join(asked["raw"]))
        limit = self._answering.max_rows
        request = Request(f"/{SERVICE}/ModelInfer", query, b"")
        only = lane if version else None
        answered = await self._answering.answer(request, lambda s: tensors.rows(inputs, s, limit), only=only)
        return encode(_inferred, _told(asked, answered))


def _read(message: Message, data: bytes) -> dict[str, Any]:
    try:
        return decode(message, data)
    except ValueError:
        raise rejection(400, "protobuf", "the message cannot be read") from None


def _tensors(asked: dict[str, Any]) -> list[Tensor]:
    """The inputs as they stand in a request over HTTP: with their elements, or with the size of their raw bytes."""
    inputs, raw = asked["inputs"], asked["raw"]
    if not inputs:
        raise _unfit("$.inputs", "a tensor for each feature", "none")
    if raw and len(raw) != len(inputs):
        raise _unfit("$.raw_input_contents", f"one for each of the {len(inputs)} inputs", str(len(raw)))
    found = []
    for number, one in enumerate(inputs):
        name, datatype, shape = one.get("name", ""), one.get("datatype", ""), one["shape"]
        if raw:
            found.append(Tensor(name, shape, datatype, {"binary_data_size": len(raw[number])}))
            continue
        data = one.get("contents", {}).get(_PLACES.get(datatype, ""), [])
        if datatype == "BYTES":
            try:
                data = [value.decode() for value in data]
            except UnicodeDecodeError:
                raise _unfit(f"$.inputs[{number}].contents", "text in UTF-8", "other bytes") from None
        found.append(Tensor(name, shape, datatype, data=data))
    return found


def _told(asked: dict[str, Any], answered: Answered) -> dict[str, Any]:
    """The answer: raw where the request is."""
    known = {name: (kind, shape) for name, kind, shape in outputs_of(answered.manifest)}
    values, height = values_of(answered), len(answered.answers)
    outputs, raw = [], []
    for name in [one.get("name", "") for one in asked["outputs"]] or known:
        if name not in known:
            hint = did_you_mean(name, known)
            raise rejection(422, "output", f"there is no output `{clip(name)}`", hint=hint)
        kind, shape = known[name]
        told: dict[str, Any] = {"name": name, "datatype": kind, "shape": [height, *shape[1:]]}
        if asked["raw"]:
            raw.append(tensors.to_binary(values[name], kind))
        else:
            elements = [str(v).encode() for v in values[name]] if kind == "BYTES" else values[name]
            told["contents"] = {_PLACES[kind]: elements}
        outputs.append(told)
    release = answered.release
    head = {"model_name": answered.manifest.model, "model_version": str(release.version), "id": asked.get("id")}
    return {**head, "outputs": outputs, "raw": raw}


def _unfit(path: str, expected: str, received: str) -> Rejection:
    message = "the tensors cannot be read"
    return Rejection(
        422, Problem(code="invalid-tensor", message=message, path=path, expected=expected, received=received)
    )
