"""GET /openapi.json: what clients may ask of the endpoint, with the schema of the model that is live (OpenAPI 3.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from keepfit.datasets.dataset import Column
from keepfit.models.task import Task
from keepfit.packages.package import Manifest
from keepfit.serving.answering import Answering
from keepfit.serving.dialects import arrow, delimited, tensors
from keepfit.serving.http import JSON_TYPE, Reply, Request, Route, reply
from keepfit.serving.labels import LINES
from keepfit.serving.wire import nullable

Schema = dict[str, Any]

_INT64 = 2**63
_EXAMPLES = {"timestamp": "2013-05-02T14:30:00Z", "date": "2013-05-02", "bool": True, "category": "a", "text": "a"}
_REFUSED = {
    400: "The body cannot be read: not JSON (or Arrow, or CSV), or nested too deeply.",
    401: "The token is missing or wrong.",
    405: "This path takes another method.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or has too many rows.",
    415: "The body is of a media type that is not taken here.",
    421: "The endpoint is not called by that name.",
    422: "Something in the body is not as the model needs it: where, which feature, what was expected and received.",
    429: "Too many requests at once; `Retry-After` says when to try again.",
    503: "No model is live, or too much waits for an answer; `Retry-After` says when to try again.",
}


def routes(answering: Answering) -> dict[str, Route]:
    """Path -> handlers."""

    async def openapi(request: Request) -> Reply:
        lane = await answering.champion()
        return reply(document(lane.manifest, lane.release.version, answering.max_rows))

    return {"/openapi.json": Route({"GET": openapi})}


def document(manifest: Manifest, version: int, max_rows: int) -> Schema:
    """The description of the endpoint while this model is live."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": manifest.model,
            "version": str(version),
            "description": f"Predicts `{manifest.label}`. Several languages, one model: answers are the same.",
        },
        "security": [{"token": []}],
        "paths": _paths(manifest),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(manifest, max_rows),
            "responses": {
                f"{shape}{status}": _response(told, {JSON_TYPE: {"schema": _ref(shape)}})
                for shape in ("Error", "OipError", "MlflowError")
                for status, told in _REFUSED.items()
            },
        },
    }


def value_schema(column: Column) -> Schema:
    """What one value must be."""
    schema: Schema
    if column.type in ("number", "integer"):
        schema = {"type": column.type, **_bounds(column)}
    elif column.type == "bool":
        schema = {"type": "boolean"}
    else:
        formats = {"timestamp": {"format": "date-time"}, "date": {"format": "date"}}
        schema = {"type": "string", **formats.get(column.type, {})}
        if column.type == "category" and column.levels:
            schema["enum"] = list(column.levels)
    if nullable(column):
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"].append(None)
    return {**schema, "examples": [example(column)]}


def example(column: Column) -> Any:
    """A value that the column may have."""
    if column.levels:
        return column.levels[0]
    if column.type not in ("number", "integer"):
        return _EXAMPLES[column.type]
    low, high = column.at_least, column.at_most
    if low is not None and high is not None:
        middle = low + (high - low) / 2
        return (
            middle if column.type == "number" else math.floor(middle) if math.floor(middle) >= low else math.ceil(low)
        )
    value = low if low is not None else high if high is not None and high < 1 else 1
    return float(value) if column.type == "number" else math.ceil(value) if low is not None else math.floor(value)


def _bounds(column: Column) -> Schema:
    low, high = column.at_least, column.at_most
    if column.type == "number":
        return {k: v for k, v in (("minimum", low), ("maximum", high)) if v is not None}
    least = -_INT64 if low is None else max(-_INT64, math.ceil(low))
    most = _INT64 - 1 if high is None else min(_INT64 - 1, math.floor(high))
    return {"format": "int64", "minimum": least, "maximum": most}


def _schemas(manifest: Manifest, max_rows: int) -> Schema:
    inputs = manifest.inputs
    ids = {"type": ["array", "null"], "items": {"type": "string", "minLength": 1, "maxLength": 64}}
    row = _object({name: value_schema(column) for name, column in inputs.items()})
    columns = {name: _list({k: v for k, v in value_schema(c).items() if k != "examples"}) for name, c in inputs.items()}
    some = {name: example(column) for name, column in inputs.items()}
    by_row = {"rows": _list(_ref("Row"), maxItems=max_rows)}
    return {
        "Row": {**row, "examples": [some]},
        "Rows": {**_object({**by_row, "ids": ids}, needs=["rows"]), "examples": [{"rows": [some]}]},
        "Columns": _object({"columns": _object(columns), "ids": ids}, needs=["columns"]),
        "Prediction": _prediction(manifest),
        "Answer": _object(
            {
                "model": _text(),
                "version": {"type": "integer"},
                "release": _text(),
                "predictions": _list({"anyOf": [_ref("Prediction"), _ref("Error")]}),
            }
        ),
        "Problem": _object(
            {name: _text() for name in ("code", "message", "path", "feature", "expected", "received", "hint")},
            needs=["code", "message"],
        ),
        "Error": _object({"error": _ref("Problem")}),
        "OipError": _object({"error": _text(), "problem": _ref("Problem")}),
        "MlflowError": _object({"error_code": _text(), "message": _text(), "problem": _ref("Problem")}),
        "Labels": _object({"labels": _list(_ref("Label"), minItems=0)}),
        "Label": _label(manifest.task, manifest.levels),
        **_oip_schemas(manifest),
        **_mlflow_schemas(manifest),
    }


def _prediction(manifest: Manifest) -> Schema:
    if manifest.levels is None:
        return _object({"id": _text(), "prediction": {"type": "number"}})
    each = _object({level: {"type": "number"} for level in manifest.levels})
    return _object({"id": _text(), "prediction": _text(*manifest.levels), "probabilities": each})


def _label(task: Task, levels: list[str] | None) -> Schema:
    kinds: Mapping[Task, Schema] = {
        "binary": {"anyOf": [{"type": "boolean"}, {"type": "integer", "enum": [0, 1]}]},
        "multiclass": {"type": "string", **({"examples": levels[:1]} if levels else {})},
        "regression": {"type": "number"},
    }
    by_id = {
        "id": {"type": "string", "minLength": 1, "maxLength": 64},
        "label": {"anyOf": [kinds[task], {"type": "null"}]},
    }
    return _object(by_id)


def _oip_schemas(manifest: Manifest) -> Schema:
    names = list(manifest.inputs)
    tensor = _object(
        {
            "name": _text(),
            "shape": _list({"type": "integer", "minimum": 0}, maxItems=2),
            "datatype": _text(),
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
        needs=["name", "shape", "datatype"],
        more=True,
    )
    some = [
        {"name": n, "shape": [1], "datatype": tensors.DATATYPES[c.type], "data": [example(c)]}
        for n, c in manifest.inputs.items()
    ]
    output = _object({"name": _text(), "parameters": {"type": "object"}}, needs=["name"], more=True)
    return {
        "Tensor": {**tensor, "description": f"One for each of {', '.join(names[:20])}, or one matrix of numbers."},
        "OipRequest": {
            **_object(
                {
                    "id": {"type": ["string", "null"]},
                    "parameters": {"type": "object"},
                    "inputs": _list(_ref("Tensor")),
                    "outputs": {"type": ["array", "null"], "items": output},
                },
                needs=["inputs"],
                more=True,
            ),
            "examples": [{"inputs": some}],
        },
        "OipAnswer": _object(
            {
                "model_name": _text(),
                "model_version": _text(),
                "id": _text(),
                "outputs": {"type": "array", "items": _ref("Tensor")},
            },
            needs=["model_name", "model_version", "outputs"],
        ),
    }


def _mlflow_schemas(manifest: Manifest) -> Schema:
    split = _object(
        {"columns": _list(_text()), "index": {"type": "array"}, "data": _list({"type": "array"})}, needs=["data"]
    )
    any_rows = _list({"anyOf": [_ref("Row"), {"type": "array"}]})
    forms = {
        "dataframe_split": split,
        "dataframe_records": _list(_ref("Row")),
        "instances": any_rows,
        "inputs": {"anyOf": [any_rows, {"type": "object"}]},
    }
    prediction = {"type": "string"} if manifest.levels else {"type": "number"}
    return {
        "MlflowRequest": {
            "oneOf": [_object({form: schema, "params": {}}, needs=[form]) for form, schema in forms.items()],
            "examples": [{"dataframe_records": [{name: example(column) for name, column in manifest.inputs.items()}]}],
        },
        "MlflowAnswer": _object({"predictions": _list(prediction)}),
    }


def _paths(manifest: Manifest) -> Schema:
    rows = {
        JSON_TYPE: {"schema": {"oneOf": [_ref("Rows"), _ref("Columns")]}},
        arrow.TYPE: {"schema": {"description": "An Arrow IPC stream with a column for each feature."}},
        delimited.TYPE: {"schema": {"type": "string"}},
    }
    answers = {**rows, JSON_TYPE: {"schema": _ref("Answer")}}
    explain = {
        "name": "explain",
        "in": "query",
        "schema": _text("route"),
        "description": "`route`: say in the headers `keepfit-route`, `-version` and `-release` who answered.",
    }
    log = {"name": "log", "in": "query", "schema": _text("off"), "description": "`off`: keep it out of the log."}
    infer = _post("Answer tensors", _body(_ref("OipRequest")), _json("OipAnswer"), "OipError", [explain, log])
    invoke = {**_body(_ref("MlflowRequest")), delimited.TYPE: {"schema": {"type": "string"}}}
    model = f"/v2/models/{manifest.model}"
    told = {JSON_TYPE: {"schema": {"type": "object"}}}
    labels = {**_body(_ref("Labels")), **{kind: {"schema": {"type": "string"}} for kind in (*LINES, delimited.TYPE)}}
    return {
        "/predict": _post("Predict", rows, answers, "Error", [explain, log]),
        "/labels": _post("Say what came true", labels, told, "Error", []),
        "/model": _get("The model that is live", told),
        "/health/live": _get("Whether the endpoint runs", told, open=True),
        "/health/ready": _get("Whether predictions are answered", told, open=True),
        "/metrics": _get("Counters, for Prometheus", {"text/plain": {"schema": {"type": "string"}}}),
        "/v2": _get("The server", told, shape="OipError"),
        "/v2/health/live": _get("Whether the endpoint runs", told, open=True, shape="OipError"),
        "/v2/health/ready": _get("Whether predictions are answered", told, open=True, shape="OipError"),
        model: _get("The model and its tensors", told, shape="OipError"),
        f"{model}/ready": _get("Whether the model answers", told, shape="OipError"),
        f"{model}/infer": infer,
        "/invocations": _post("Predict, as MLflow asks", invoke, _json("MlflowAnswer"), "MlflowError", [explain, log]),
    }


def _post(summary: str, body: Schema, answer: Schema, shape: str, parameters: list[Schema]) -> Schema:
    return {
        "post": {
            "summary": summary,
            "parameters": parameters,
            "requestBody": {"required": True, "content": body},
            "responses": {"200": _response("The answer.", answer), **_refusals(shape, _REFUSED)},
        }
    }


def _get(summary: str, answer: Schema, *, open: bool = False, shape: str = "Error") -> Schema:
    statuses = (405, 503) if open else (401, 405, 421, 503)
    told: Schema = {
        "summary": summary,
        "responses": {"200": _response("The answer.", answer), **_refusals(shape, statuses)},
    }
    return {"get": {**told, "security": []} if open else told}


def _refusals(shape: str, statuses: Any) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{shape}{status}"} for status in statuses}


def _response(told: str, content: Schema) -> Schema:
    return {"description": told, "content": content}


def _body(schema: Schema) -> Schema:
    return {JSON_TYPE: {"schema": schema}}


def _json(name: str) -> Schema:
    return _body(_ref(name))


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(*levels: str) -> Schema:
    return {"type": "string", "enum": list(levels)} if levels else {"type": "string"}


def _list(items: Schema, *, minItems: int = 1, **more: int) -> Schema:
    return {"type": "array", "items": items, "minItems": minItems, **more}


def _object(properties: Schema, *, needs: list[str] | None = None, more: bool = False) -> Schema:
    required = list(properties) if needs is None else needs
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": more}
