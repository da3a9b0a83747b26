"""keepfit's own: POST /predict, in JSON, Arrow or CSV; the answer comes in the form that `Accept` asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from keepfit.serving.answering import Answered, Answering, Read, explained
from keepfit.serving.batch import Prediction
from keepfit.serving.dialects import arrow, delimited
from keepfit.serving.http import JSON_TYPE, Reply, Request, Route, reply
from keepfit.serving.problems import Problem
from keepfit.serving.signature import Rows, Signature


class Failed(msgspec.Struct, frozen=True):
    """In place of a prediction, for a row that failed alone."""

    error: Problem


class Answer(msgspec.Struct, frozen=True):
    """The answer to /predict."""

    model: str
    version: int
    release: str
    predictions: Sequence[Prediction | Failed]


def routes(answering: Answering) -> dict[str, Route]:
    """Path -> handlers."""

    async def predict(request: Request) -> Reply:
        answered = await answering.answer(request, _reader(request, answering.max_rows))
        return explained(request, answered, _WRITERS[_wanted(request)](answered))

    return {"/predict": Route({"POST": predict}, takes=tuple(_READERS))}


def _json(signature: Signature, body: bytes, max_rows: int) -> Rows:
    return signature.decode(body, max_rows)


_READERS: dict[str, Callable[[Signature, bytes, int], Rows]] = {
    JSON_TYPE: _json,
    arrow.TYPE: arrow.read,
    delimited.TYPE: delimited.read,
}


def _reader(request: Request, max_rows: int) -> Read:
    read = _READERS.get(request.kind, _json)  # an empty body need not say what it is
    return lambda signature: read(signature, request.body, max_rows)


def _write_json(answered: Answered) -> Reply:
    release = answered.release
    told: Sequence[Any] = answered.answers
    if any(isinstance(answer, Problem) for answer in told):
        told = [answer if isinstance(answer, Prediction) else Failed(answer) for answer in told]
    return reply(Answer(answered.manifest.model, release.version, release.id, told))


_WRITERS: dict[str, Callable[[Answered], Reply]] = {
    JSON_TYPE: _write_json,
    arrow.TYPE: arrow.write,
    delimited.TYPE: delimited.write,
}


def _wanted(request: Request) -> str:
    """The media type the answer should have: the first acceptable that is known; else that of the body."""
    accept = request.header(b"accept")
    for part in accept.decode("latin-1").split(",") if accept else ():
        kind = part.partition(";")[0].strip().lower()
        if kind in _WRITERS:
            return kind
        if kind == "*/*":
            break
    return request.kind if request.kind in _WRITERS else JSON_TYPE
