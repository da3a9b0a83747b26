"""Labels as they come in: read, checked against what is predicted, and stored by as few transactions as can be."""

from __future__ import annotations

import asyncio
import csv
import io
import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from keepfit.models.task import Task
from keepfit.serving.explain import parse, shown
from keepfit.serving.problems import Problem, Rejection
from keepfit.serving.records import Records
from keepfit.serving.signature import Id

Key = (
    Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
)

Found = dict[tuple[str, str], Any]
"""(column of the key, or nothing for a prediction's id; id or key) -> label."""


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The truth about one prediction, or about all predictions of the user's key; null takes it back."""

    label: bool | int | float | str | None
    id: Id | None = None
    key: Key | None = None


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: list[Label]


_PLACE = re.compile(r" - at `(.+)`$")
_decode = msgspec.json.Decoder(_Body).decode
_decode_lines = msgspec.json.Decoder(Label).decode_lines
LINES = ("application/x-ndjson", "application/jsonl")
CSV = "text/csv"
LABEL_TYPES = ("application/json", *LINES, CSV)
"""Media types that labels may come in."""

_EXPECTED: dict[Task, str] = {
    "binary": "true or false",
    "multiclass": "a string",
    "regression": "a number",
}


_TRUTHS = {"true": True, "false": False}


def read_labels(body: bytes, task: Task, kind: str = "application/json", column: str | None = None) -> Found:
    """The labels of a body, checked against what is predicted; raises Rejection 400 or 422.

    The body is `{"labels": [{"id": ..., "label": ...}, ...]}`, or such objects as JSON lines, or CSV
    with the same columns; `key` in place of `id` where the project names a `column` for it.
    """
    try:
        labels, place = _parsed(body, task, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        value = parse(body) if kind == "application/json" else None
        found = _PLACE.search(str(problem))
        expected = "`labels`: an array of objects with `id` and `label`"
        if kind != "application/json":
            expected = "a line for each label with `id` (or `key`) and `label`"
        raise Rejection(422, _problem(found[1] if found else "$", expected, value)) from None
    return {
        _name(entry, column, place.format(number)): _checked(entry.label, task, f"{place.format(number)}.label")
        for number, entry in enumerate(labels)
    }


def _parsed(body: bytes, task: Task, kind: str) -> tuple[list[Label], str]:
    """The labels, and how a place in the body is called."""
    if kind in LINES:
        return _decode_lines(body), "$[{}]"
    if kind != CSV:
        return _decode(body).labels, "$.labels[{}]"
    rows = csv.DictReader(io.StringIO(body.decode(), newline=""))
    try:
        entries = [{name: value for name, value in row.items() if value} for row in rows]
    except csv.Error as problem:
        raise msgspec.DecodeError(str(problem)) from None
    for entry in entries:
        if "label" in entry and task != "multiclass":
            entry["label"] = _typed(entry["label"])
    return msgspec.convert(entries, list[Label]), "$[{}]"


def _typed(text: str) -> bool | float | str:
    """The label that a text in CSV stands for."""
    if text.lower() in _TRUTHS:
        return _TRUTHS[text.lower()]
    try:
        return float(text)
    except ValueError:
        return text


def _name(entry: Label, column: str | None, path: str) -> tuple[str, str]:
    """By what the label finds its predictions."""
    if (entry.id is None) == (entry.key is None):
        raise Rejection(422, _problem(path, "either `id` or `key`", msgspec.to_builtins(entry)))
    if entry.id is not None:
        return "", entry.id
    if column is None:
        hint = 'name an input column: key = "..." under [serve]'
        problem = _problem(f"{path}.key", "`id`: the project names no key", entry.key)
        raise Rejection(422, msgspec.structs.replace(problem, hint=hint))
    return column, str(entry.key)


def new_levels(labels: Found, levels: Sequence[str] | None) -> dict[str, int]:
    """How many labels name each level that the model does not know: a new one, or a slip."""
    return dict(Counter(label for label in labels.values() if label not in (None, *levels))) if levels else {}


def _checked(label: Any, task: Task, path: str) -> Any:
    if label is None:
        return None
    if task == "binary" and (isinstance(label, bool) or label in (0, 1)):
        return bool(label)
    if task == "multiclass" and isinstance(label, str):
        return label
    if task == "regression" and isinstance(label, int | float) and not isinstance(label, bool) and math.isfinite(label):
        return label
    raise Rejection(422, _problem(path, _EXPECTED[task], label))


def _problem(path: str, expected: str, value: Any) -> Problem:
    return Problem(
        code="invalid-label", message="the labels cannot be read", path=path, expected=expected, received=shown(value)
    )


class Labels:
    """Stores labels: whatever comes in while one transaction is written goes into the next."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._next: Found = {}
        self._stored: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    async def store(self, labels: Found) -> None:
        """Done when the labels are durable; raises StoreError when the disk refuses."""
        if self._stored is None:
            self._stored = asyncio.get_running_loop().create_future()
        self._next.update(labels)
        stored = self._stored
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(stored)

    async def _write(self) -> None:
        while self._stored is not None:
            labels, stored = self._next, self._stored
            self._next, self._stored = {}, None
            try:
                await asyncio.to_thread(self._records.store_labels, labels, time.time_ns() // 1000)
            except Exception as problem:
                stored.set_exception(problem)
            else:
                stored.set_result(None)
