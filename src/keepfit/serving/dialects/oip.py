"""The Open Inference Protocol, version 2, over REST, with the binary tensor data extension (KServe, Triton, MLServer).

One tensor for each feature, or, where all features are numbers, one matrix with a column for each.
Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec

from keepfit.core.errors import did_you_mean
from keepfit.packages.package import Manifest
from keepfit.serving.answering import Answered, Answering, explained
from keepfit.serving.dialects import tensors
from keepfit.serving.dialects.tensors import Tensor
from keepfit.serving.explain import clip, parse, shown
from keepfit.serving.http import JSON_TYPE, Reply, Request, Route, refusal, reply
from keepfit.serving.lane import Lane
from keepfit.serving.problems import Problem, Rejection, rejection

BINARY_TYPE = "application/octet-stream"
HEADER_LENGTH = b"inference-header-content-length"


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: dict[str, Any] = {}


class _Asked(msgspec.Struct, frozen=True):
    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[_Output] | None = None


_asked = msgspec.json.Decoder(_Asked).decode


def routes(answering: Answering) -> dict[str, Route]:
    """Path -> handlers."""
    oip = _Protocol(answering)
    health = {"open": True, "refuse": _refuse}
    return {
        "/v2": Route({"GET": oip.server}, refuse=_refuse),
        "/v2/health/live": Route({"GET": oip.live}, **health),  # type: ignore[arg-type]
        "/v2/health/ready": Route({"GET": oip.ready}, **health),  # type: ignore[arg-type]
        "/v2/*": Route({"GET": oip.model, "POST": oip.infer}, takes=(JSON_TYPE, BINARY_TYPE, ""), refuse=_refuse),
    }


class _Protocol:
    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def server(self, request: Request) -> Reply:
        return reply(server_metadata())

    async def live(self, request: Request) -> Reply:
        return reply({"live": True})

    async def ready(self, request: Request) -> Reply:
        ready = self._answering.residents.ready
        return reply({"ready": ready}, status=200 if ready else 503)

    async def model(self, request: Request) -> Reply:
        lane, rest = await self._lane(request.path)
        if rest == "ready":
            return reply({"name": lane.manifest.model, "ready": lane.ready}, status=200 if lane.ready else 503)
        if rest:
            raise _nothing(request.path) if rest != "infer" else rejection(405, "method", "infer takes POST")
        return reply(model_metadata(self._answering, lane))

    async def infer(self, request: Request) -> Reply:
        lane, rest = await self._lane(request.path)
        if rest != "infer":
            raise _nothing(request.path) if rest not in ("", "ready") else rejection(405, "method", "this takes GET")
        asked, binary = _read(request)
        inputs = tensors.of_binary(asked.inputs, binary)
        limit = self._answering.max_rows
        only = lane if "/versions/" in request.path else None
        answered = await self._answering.answer(request, lambda s: tensors.rows(inputs, s, limit), only=only)
        return explained(request, answered, _write(asked, answered))

    async def _lane(self, path: str) -> tuple[Lane, str]:
        """Who is spoken to at `/v2/models/NAME[/versions/VERSION][/REST]`, and what is asked of it."""
        _, _, models, name, *rest = [*path.split("/"), ""] if path.count("/") > 2 else ["", "", "", "", ""]
        if models != "models":
            raise _nothing(path)
        named = rest[0] == "versions"
        lane = await resident(self._answering, name, rest[1] if named else None)
        return lane, "/".join(rest[2:] if named else rest).removesuffix("/")


async def resident(answering: Answering, name: str, version: str | None) -> Lane:
    """The champion, or the version that is asked for; Rejection 404 when it is not loaded, or of another model."""
    lane = await answering.champion()
    if name != lane.manifest.model:
        raise rejection(404, "not-found", f"there is no model `{clip(name)}`: this is `{lane.manifest.model}`")
    if version is None:
        return lane
    residents = [r for r in (answering.residents.champion, answering.residents.previous) if r]
    found = next((r for r in residents if str(r.release.version) == version), None)
    if found is None:
        there = " and ".join(f"`{r.release.version}`" for r in residents)
        raise rejection(404, "not-found", f"version `{clip(version)}` is not loaded, but {there}")
    return found


def server_metadata() -> dict[str, Any]:
    """What the protocol tells of the server."""
    return {"name": "keepfit", "version": version("keepfit"), "extensions": ["binary_tensor_data"]}


def model_metadata(answering: Answering, lane: Lane) -> dict[str, Any]:
    """What the protocol tells of a model."""
    residents = answering.residents
    versions = [str(r.release.version) for r in (residents.champion, residents.previous) if r]
    return {"name": lane.manifest.model, "versions": versions, "platform": "keepfit", **_tensors(lane)}


def _tensors(lane: Lane) -> dict[str, Any]:
    inputs = [
        {"name": name, "datatype": tensors.DATATYPES[column.type], "shape": [-1]}
        for name, column in lane.manifest.inputs.items()
    ]
    outputs = [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in outputs_of(lane.manifest)]
    return {"inputs": inputs, "outputs": outputs}


def outputs_of(manifest: Manifest) -> list[tuple[str, str, list[int]]]:
    """The tensors of an answer: name, datatype, shape."""
    if manifest.levels is None:
        return [("prediction", "FP64", [-1]), ("id", "BYTES", [-1])]
    return [("prediction", "BYTES", [-1]), ("probabilities", "FP64", [-1, len(manifest.levels)]), ("id", "BYTES", [-1])]


def _read(request: Request) -> tuple[_Asked, bytes]:
    """The JSON of a request, and the bytes of tensors behind it."""
    head, binary = request.body, b""
    if length := request.header(HEADER_LENGTH):
        if not length.isdigit() or int(length) > len(request.body):
            raise rejection(400, "header-length", "Inference-Header-Content-Length is not a length within the body")
        head, binary = request.body[: int(length)], request.body[int(length) :]
    try:
        return _asked(head), binary
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        value = parse(head)
        _, _, place = str(problem).rpartition(" - at `")
        problem_path = place.removesuffix("`") if place.startswith("$") else "$"
        expected = "an inference request: `inputs`, tensors with `name`, `shape`, `datatype` and `data`"
        message = "the body is not an inference request"
        told = Problem(
            code="invalid-body", message=message, path=problem_path, expected=expected, received=shown(value)
        )
        raise Rejection(422, told) from None


def _write(asked: _Asked, answered: Answered) -> Reply:
    """The response: JSON, and behind it the tensors that are wanted in binary."""
    known = {name: (kind, shape) for name, kind, shape in outputs_of(answered.manifest)}
    wanted = asked.outputs if asked.outputs is not None else [_Output(name) for name in known]
    everything = asked.parameters.get("binary_data_output") is True
    values = values_of(answered)
    outputs, binary = [], b""
    for output in wanted:
        if output.name not in known:
            raise rejection(
                422, "output", f"there is no output `{clip(output.name)}`", hint=did_you_mean(output.name, known)
            )
        kind, shape = known[output.name]
        told: dict[str, Any] = {"name": output.name, "datatype": kind, "shape": [len(answered.answers), *shape[1:]]}
        if output.parameters.get("binary_data", everything) is True:
            content = tensors.to_binary(values[output.name], kind)
            told["parameters"] = {"binary_data_size": len(content)}
            binary += content
        else:
            told["data"] = values[output.name]
        outputs.append(told)
    release = answered.release
    head: dict[str, Any] = {"model_name": answered.manifest.model, "model_version": str(release.version)}
    if asked.id is not None:
        head["id"] = asked.id
    content = msgspec.json.encode({**head, "outputs": outputs})
    if not binary:
        return Reply(200, content)
    headers = ((b"content-type", BINARY_TYPE.encode()), (HEADER_LENGTH, b"%d" % len(content)))
    return Reply(200, content + binary, headers)


def values_of(answered: Answered) -> dict[str, list[Any]]:
    answers = answered.all_good()
    levels = answered.manifest.levels or ()
    return {
        "prediction": [answer.prediction for answer in answers],
        "probabilities": [(answer.probabilities or {}).get(level) for answer in answers for level in levels],
        "id": [answer.id for answer in answers],
    }


def _nothing(path: str) -> Rejection:
    return rejection(404, "not-found", "there is nothing at this path", hint="GET /v2/models/NAME")


def _refuse(problem: Rejection) -> Reply:
    """The protocol's own shape, one sentence; the same in parts beside it."""
    return refusal(problem, {"error": problem.problem.sentence, "problem": problem.problem})
