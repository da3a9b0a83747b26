"""Labels as they come in: read, checked against what is predicted, and stored by as few transactions as can be."""

from __future__ import annotations

import asyncio
import math
import re
import time
from typing import Any

import msgspec

from keepfit.models.task import Task
from keepfit.serving.explain import parse, shown
from keepfit.serving.problems import Problem, Rejection
from keepfit.serving.records import Records
from keepfit.serving.signature import Id


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The truth about one prediction."""

    id: Id
    label: bool | int | float | str


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: list[Label]


_PLACE = re.compile(r" - at `(.+)`$")
_decode = msgspec.json.Decoder(_Body).decode

_EXPECTED: dict[Task, str] = {
    "binary": "true or false",
    "multiclass": "a string",
    "regression": "a number",
}


def read_labels(body: bytes, task: Task) -> dict[str, bool | float | str]:
    """Prediction id -> label from a body `{"labels": [{"id": ..., "label": ...}, ...]}`; Rejection 400 or 422."""
    try:
        labels = _decode(body).labels
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        value = parse(body)
        place = _PLACE.search(str(problem))
        path = place[1] if place else "$"
        raise Rejection(422, _problem(path, "`labels`: an array of objects with `id` and `label`", value)) from None
    return {entry.id: _checked(entry.label, task, f"$.labels[{number}].label") for number, entry in enumerate(labels)}


def _checked(label: Any, task: Task, path: str) -> Any:
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
        self._next: dict[str, Any] = {}
        self._stored: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    async def store(self, labels: dict[str, Any]) -> None:
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
