"""The slow way through a body that the fast way refused: what is wrong, where, and what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from keepfit.core.errors import did_you_mean
from keepfit.datasets.dataset import Column
from keepfit.serving.problems import Problem, Rejection, rejection
from keepfit.serving.wire import nullable

Place = Callable[[int, str | None], str]
"""The JSON path of a row, or of one value in it."""

_BYTE = re.compile(r"\(byte (\d+)\)")
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")
_KINDS = {
    "number": "a number",
    "integer": "a whole number of 64 bits",
    "category": "a string",
    "text": "a string",
    "bool": "true or false",
    "timestamp": "a time such as `2013-05-02T14:30:00Z`",
    "date": "a date such as `2013-05-02`",
}
_JSON_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a bool", type(None): "null"}
_SHOWN = 60


def parse(body: bytes) -> Any:
    """A JSON body as plain values; Rejection 400 that says where it stops being JSON."""
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise rejection(400, "json", "the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        if isinstance(problem, msgspec.ValidationError):
            raise rejection(400, "json", "a number in the body is too large") from None
        place = _BYTE.search(str(problem))
        at = int(place[1]) if place else getattr(problem, "start", len(body))
        raise rejection(400, "json", f"the body is not JSON: it cannot be read from byte {at} on") from None


def rows_in(value: Any, columns: Mapping[str, Column]) -> tuple[list[Any], list[str], Place]:
    """The rows of a parsed body, in either form, their ids (empty: none), and how to name a place in the body.

    Rejection 422 for any other shape.
    """
    members = _object(value, "rows", "columns", "ids")
    if ("rows" in members) == ("columns" in members):
        raise _shape("$", "either `rows` or `columns`", value)
    rows, place = _by_row(members["rows"]) if "rows" in members else _by_column(members["columns"], columns)
    ids = members.get("ids") or []
    if not isinstance(ids, list) or not all(isinstance(id, str) and 0 < len(id) <= 64 for id in ids):
        raise _shape("$.ids", "an array of strings of 1 to 64 characters", ids)
    if ids and len(ids) != len(rows):
        raise _shape("$.ids", f"an id for each of the {len(rows)} rows", ids)
    return rows, ids, place


def _by_row(rows: Any) -> tuple[list[Any], Place]:
    if not isinstance(rows, list) or not rows:
        raise _shape("$.rows", "an array of at least one object", rows)
    return rows, lambda row, name: f"$.rows[{row}]" + ("" if name is None else step(name))


def _by_column(table: Any, columns: Mapping[str, Column]) -> tuple[list[Any], Place]:
    if not isinstance(table, dict):
        raise _shape("$.columns", "an object of arrays", table)
    if problem := explain_names(table, "$.columns", columns):
        raise Rejection(422, problem)
    for name, values in table.items():
        if not isinstance(values, list) or not values:
            raise _shape(f"$.columns{step(name)}", "an array of at least one value", values)
    if len({len(values) for values in table.values()}) > 1:
        lengths = ", ".join(f"`{n}` {len(v)}" for n, v in table.items())
        raise _shape("$.columns", "arrays of one length", None, received=clip(lengths))
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return rows, lambda row, name: f"$.columns{step(name or '')}[{row}]"


def explain_names(row: Any, path: str, columns: Iterable[str]) -> Problem | None:
    """What is wrong with a row before any value is looked at: not an object, a name unknown or missing."""
    if not isinstance(row, dict):
        return Problem(
            code="invalid-row", message="a row is an object", path=path, expected="an object", received=shown(row)
        )
    names = list(columns)
    for name in row:
        if name not in names:
            return Problem(
                code="unknown-feature",
                message=f"the model has no feature `{clip(name)}`",
                path=path + step(clip(name)),
                feature=clip(name),
                expected="a feature of the model",
                received=shown(row[name]),
                hint=did_you_mean(name, names),
            )
    for name in names:
        if name not in row:
            return Problem(
                code="missing-feature",
                message=f"the feature `{name}` is missing",
                path=path + step(name),
                feature=name,
                expected="a value, or null where it is allowed",
                received="nothing",
            )
    return None


def explain_value(name: str, column: Column, value: Any, path: str) -> Problem:
    """What is wrong with one value."""
    return Problem(
        code="invalid-value",
        message=f"the feature `{name}` cannot be `{shown(value)}`",
        path=path,
        feature=name,
        expected=_expected(column),
        received=shown(value),
        hint=did_you_mean(value, column.levels) if column.levels and isinstance(value, str) else None,
    )


def shown(value: Any) -> str:
    """A value of the sender's own, short, with its kind where that is not plain to see."""
    if isinstance(value, dict | list):
        return f"{_JSON_NAMES[type(value)]} of {len(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    return clip(msgspec.json.encode(value, enc_hook=str).decode())


def clip(text: str) -> str:
    """Not more of a text than a person will read."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def step(name: str) -> str:
    """One step of a JSON path."""
    return f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{msgspec.json.encode(name).decode()}]"


def _object(value: Any, *names: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _shape("$", "an object with `rows` or `columns`", value)
    for name in value:
        if name not in names:
            problem = Problem(
                code="invalid-body",
                message=f"the body has an unknown member `{clip(name)}`",
                path="$" + step(clip(name)),
                expected=" or ".join(f"`{n}`" for n in names),
                received=f"`{clip(name)}`",
                hint=did_you_mean(name, names),
            )
            raise Rejection(422, problem)
    return value


def _shape(path: str, expected: str, value: Any, *, received: str | None = None) -> Rejection:
    problem = Problem(
        code="invalid-body",
        message="the body has another shape than expected",
        path=path,
        expected=expected,
        received=received or shown(value),
    )
    return Rejection(422, problem)


def _expected(column: Column) -> str:
    words = _KINDS[column.type]
    if column.levels:
        first = ", ".join(f"`{clip(level)}`" for level in column.levels[:5])
        words = f"one of {first}" + (f" ... ({len(column.levels)} levels)" if len(column.levels) > 5 else "")
    elif column.type in ("number", "integer"):
        bounds = ((">=", column.at_least), ("<=", column.at_most))
        words += "".join(f" {sign} {bound:g}" for sign, bound in bounds if bound is not None)
    return words + (" or null" if nullable(column) else "")
