"""Arrow IPC streams: rows in, predictions out."""

from __future__ import annotations

import io

import polars as pl

from keepfit.serving.answering import Answered
from keepfit.serving.batch import Prediction
from keepfit.serving.dialects.ipc import batches
from keepfit.serving.explain import explain_names, step
from keepfit.serving.http import Reply
from keepfit.serving.problems import Problem, Rejection, rejection
from keepfit.serving.signature import Rows, Signature

TYPE = "application/vnd.apache.arrow.stream"


def read(signature: Signature, body: bytes, max_rows: int) -> Rows:
    """The rows of a stream; Rejection 400 when it is none, 413 when it has too many rows, 415 when it is compressed."""
    try:
        heads = list(batches(body))
    except ValueError:
        raise _unreadable() from None
    if any(head.rows < 0 or (head.dictionary and head.rows > len(body)) for head in heads):
        raise _unreadable()
    if any(head.compressed for head in heads):
        raise rejection(415, "arrow", "the stream is compressed", hint="write it without compression")
    if sum(head.rows for head in heads if not head.dictionary) > max_rows:
        raise rejection(413, "too-many-rows", f"a request may not have more than {max_rows:,} rows")
    try:
        frame = pl.read_ipc_stream(body)
    except BaseException as problem:  # a stream that polars cannot read may be a panic, which is no Exception
        if isinstance(problem, Exception) or type(problem).__name__ == "PanicException":
            raise _unreadable() from None
        raise
    return of_frame(signature, frame, max_rows)


def of_frame(signature: Signature, frame: pl.DataFrame, max_rows: int) -> Rows:
    """The rows of a table whose columns are the features; Rejection 422 when they are not."""
    if problem := explain_names(dict.fromkeys(frame.columns), "$", signature.columns):
        raise Rejection(422, problem)
    return signature.frame(frame, lambda row, name: f"${step(name)}[{row}]" if name else f"$[{row}]", max_rows)


def table(answered: Answered) -> pl.DataFrame:
    """The answers: `id`, `prediction`, a `probability of <level>` for each level, and `error` for rows that failed."""
    answers = answered.answers
    good = [answer if isinstance(answer, Prediction) else None for answer in answers]
    levels = answered.manifest.levels
    kind = pl.String() if levels else pl.Float64()
    columns = [
        pl.Series("id", [a and a.id for a in good], dtype=pl.String),
        pl.Series("prediction", [a and a.prediction for a in good], dtype=kind),
    ]
    for level in levels or ():
        each = [a.probabilities.get(level) if a and a.probabilities else None for a in good]
        columns.append(pl.Series(f"probability of {level}", each, dtype=pl.Float64))
    told = [f"{a.code}: {a.sentence}" if isinstance(a, Problem) else None for a in answers]
    return pl.DataFrame([*columns, pl.Series("error", told, dtype=pl.String)])


def write(answered: Answered) -> Reply:
    """The answers as a stream."""
    file = io.BytesIO()
    table(answered).write_ipc_stream(file)
    return Reply(200, file.getvalue(), ((b"content-type", TYPE.encode()),))


def _unreadable() -> Rejection:
    return rejection(400, "arrow", "the body is not an Arrow IPC stream that can be read")
