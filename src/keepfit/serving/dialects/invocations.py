"""What MLflow's scoring server speaks: POST /invocations, GET /ping, /health and /version.

Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version as version_of
from typing import Any

from keepfit.serving.answering import Answering, Read, explained
from keepfit.serving.dialects import delimited
from keepfit.serving.explain import Place, clip, parse, shown, step
from keepfit.serving.http import JSON_TYPE, Reply, Request, Route, refusal, reply
from keepfit.serving.problems import Problem, Rejection
from keepfit.serving.signature import Rows, Signature

_PLAIN = ((b"content-type", b"text/plain; charset=utf-8"),)
_CODES = {401: "UNAUTHENTICATED", 404: "RESOURCE_DOES_NOT_EXIST", 429: "REQUEST_LIMIT_EXCEEDED"}


def routes(answering: Answering) -> dict[str, Route]:
    """Path -> handlers."""

    async def invoke(request: Request) -> Reply:
        answered = await answering.answer(request, _reader(request, answering.max_rows))
        return explained(request, answered, reply({"predictions": [a.prediction for a in answered.all_good()]}))

    async def ping(request: Request) -> Reply:
        return Reply(200 if answering.residents.ready else 503, b"\n", _PLAIN)

    async def version(request: Request) -> Reply:
        return Reply(200, version_of("keepfit").encode(), _PLAIN)

    return {
        "/invocations": Route({"POST": invoke}, takes=(JSON_TYPE, delimited.TYPE), refuse=_refuse),
        "/ping": Route({"GET": ping}, open=True, refuse=_refuse),
        "/health": Route({"GET": ping}, open=True, refuse=_refuse),
        "/version": Route({"GET": version}, refuse=_refuse),
    }


def _reader(request: Request, max_rows: int) -> Read:
    if request.kind == delimited.TYPE:
        return lambda signature: delimited.read(signature, request.body, max_rows)
    value = parse(request.body)
    forms = [form for form in _FORMS if isinstance(value, dict) and form in value]
    if len(forms) != 1:
        raise _shape("$", "one of " + ", ".join(f"`{form}`" for form in _FORMS), value)
    for name in value:
        if name not in (*_FORMS, "params"):
            raise _shape(f"${step(clip(name))}", f"`{forms[0]}` and, if you like, `params`", f"`{clip(name)}`")
    read, content = _FORMS[forms[0]], value[forms[0]]
    return lambda signature: read(signature, content, max_rows)


def _split(signature: Signature, value: Any, max_rows: int) -> Rows:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise _shape("$.dataframe_split", "an object with `columns` and `data`", value)
    names = value.get("columns", list(signature.columns))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _shape("$.dataframe_split.columns", "an array of names", names)
    return _by_position(signature, value["data"], names, "$.dataframe_split.data", max_rows)


def _records(signature: Signature, value: Any, max_rows: int) -> Rows:
    if not isinstance(value, list):
        raise _shape("$.dataframe_records", "an array of objects", value)
    return signature.rows(value, _place("$.dataframe_records"), max_rows)


def _instances(signature: Signature, value: Any, max_rows: int) -> Rows:
    """TensorFlow Serving's row form: objects, or arrays of values in the order of the features."""
    return _in_rows(signature, value, "$.instances", max_rows)


def _inputs(signature: Signature, value: Any, max_rows: int) -> Rows:
    """Columns by name, or rows as in `instances`."""
    if not isinstance(value, dict):
        return _in_rows(signature, value, "$.inputs", max_rows)
    columns = {name: _column(values) for name, values in value.items()}
    if len({len(values) for values in columns.values()}) != 1:
        raise _shape("$.inputs", "arrays of one length", value)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return signature.rows(rows, lambda n, name: f"$.inputs{step(name)}[{n}]" if name else f"$.inputs[*][{n}]", max_rows)


_FORMS: Mapping[str, Callable[[Signature, Any, int], Rows]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}


def _in_rows(signature: Signature, value: Any, path: str, max_rows: int) -> Rows:
    if not isinstance(value, list):
        raise _shape(path, "an array of rows", value)
    if value and all(isinstance(row, dict) for row in value):
        return signature.rows(value, _place(path), max_rows)
    return _by_position(signature, [_column(row) for row in value], list(signature.columns), path, max_rows)


def _by_position(signature: Signature, data: list[Any], names: list[str], path: str, max_rows: int) -> Rows:
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(names):
            raise _shape(f"{path}[{number}]", f"an array of {len(names)} values", row)
    at = {name: number for number, name in enumerate(names)}

    def place(row: int, name: str | None) -> str:
        return f"{path}[{row}]" + (f"[{at[name]}]" if name in at else "")

    return signature.rows([dict(zip(names, row, strict=True)) for row in data], place, max_rows)


def _column(values: Any) -> list[Any]:
    """A value that stands alone is a column, or a row, of one; so is each element of a tensor of width one."""
    if not isinstance(values, list):
        return [values]
    return [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]


def _place(path: str) -> Place:
    return lambda row, name: f"{path}[{row}]" + ("" if name is None else step(name))


def _shape(path: str, expected: str, value: Any) -> Rejection:
    received = value if isinstance(value, str) else shown(value)
    message = "the body has another shape than expected"
    return Rejection(
        422, Problem(code="invalid-body", message=message, path=path, expected=expected, received=received)
    )


def _refuse(problem: Rejection) -> Reply:
    """MLflow's own shape; beside it, what it has no words for."""
    status = problem.status
    code = "TEMPORARILY_UNAVAILABLE" if status == 503 else "INTERNAL_ERROR" if status == 500 else "BAD_REQUEST"
    told = {"error_code": _CODES.get(status, code), "message": problem.problem.sentence, "problem": problem.problem}
    return refusal(problem, told)
