"""The scorer: a process of its own for one package, the only one its code runs in.

    python -m keepfit.serving.scorer PACKAGE_FOLDER RECORDS BUDGET SOCKET

It ends when the gateway does.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from keepfit.core.errors import KeepfitError, StoreError
from keepfit.models.metrics import Array
from keepfit.packages.load import Scorer, load
from keepfit.serving.frames import LENGTH, AddRows, FromScorer, Ready, Score, Scored, Unfit, decode_to_scorer, frame
from keepfit.serving.online import OnlineRows
from keepfit.serving.problems import MODEL_FAILED, NOT_FINITE, ROW_PROBLEMS
from keepfit.serving.records import Records
from keepfit.serving.tables import pack, table

Predict = Callable[[pl.DataFrame], Array]

ALONE = 8
"""Golden rows that are scored one by one, to see whether rows in a batch influence one another."""
_TOLERANCE = 1e-9
_MODEL_FAILED, _NOT_FINITE = (ROW_PROBLEMS.index(p) for p in (MODEL_FAILED, NOT_FINITE))
_logger = logging.getLogger("keepfit.scorer")


def main(folder: Path, records: Path, budget: float, fd: int) -> None:
    """Load, prove, then answer batches until the gateway goes away."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group, they are for the gateway, which drains
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.socket(fileno=fd) as gateway:
        try:
            scorer, ready = _prepare(folder)
        except Exception as problem:
            told = problem.message if isinstance(problem, KeepfitError) else f"{type(problem).__name__}: {problem}"
            _say(gateway, Unfit(told))
            return
        online = OnlineRows(scorer.manifest.sides, scorer.manifest.event_time)
        _reload(online, scorer, records)
        _say(gateway, ready)
        _serve(gateway, scorer, online, records, budget)


def score(predict: Predict, rows: pl.DataFrame, budget: float) -> tuple[list[Any], dict[int, int]]:
    """An answer per row, and the rows that have none: number of the row -> number of the problem.

    When the model raises on a batch it is halved until only the rows that make it raise are
    left; after `budget` seconds what is not yet told apart fails together.
    """
    end = time.monotonic() + budget
    values: list[Any] = [None] * rows.height
    failed: dict[int, int] = {}
    spans = [(0, rows.height)]
    while spans:
        start, stop = spans.pop()
        part = slice(start, stop)
        answers = _attempt(predict, rows[part])
        if answers is not None:
            values[part] = answers.tolist()
            finite = np.isfinite(answers).reshape(stop - start, -1).all(axis=1)
            for row in (np.flatnonzero(~finite) + start).tolist():
                values[row] = None
                failed[row] = _NOT_FINITE
        elif stop - start == 1 or time.monotonic() > end:
            failed.update(dict.fromkeys(range(start, stop), _MODEL_FAILED))
        else:
            middle = (start + stop) // 2
            spans += [(start, middle), (middle, stop)]
    return values, failed


def _attempt(predict: Predict, rows: pl.DataFrame) -> Array | None:
    try:
        answers = predict(rows)
    except Exception as problem:
        _complain(problem.message if isinstance(problem, KeepfitError) else f"{type(problem).__name__}: {problem}")
        return None
    if answers.shape[:1] != (rows.height,):
        _complain(f"the model gave {answers.shape} answers for {rows.height} rows")
        return None
    return answers


@functools.lru_cache(maxsize=1000)
def _complain(text: str) -> None:
    """Say it once."""
    _logger.warning("%s", text)


def _prepare(folder: Path) -> tuple[Scorer, Ready]:
    begun = time.perf_counter_ns()
    scorer = load(folder)
    loaded = time.perf_counter_ns()
    scorer.self_test()
    together = _independent(scorer)
    return scorer, Ready(loaded - begun, time.perf_counter_ns() - loaded, together)


def _independent(scorer: Scorer) -> bool:
    """Whether rows scored one by one get the answers they get in a batch."""
    some = scorer.golden().head(ALONE)
    batch = scorer.score(some)
    alone = np.concatenate([scorer.score(some[i : i + 1]) for i in range(some.height)])
    return batch.shape == alone.shape and np.allclose(batch, alone, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)


def _serve(gateway: socket.socket, scorer: Scorer, online: OnlineRows, records: Path, budget: float) -> None:
    types = {name: column.type for name, column in scorer.manifest.inputs.items()}

    joined = none = _packed({})

    def predict(rows: pl.DataFrame) -> Array:
        nonlocal joined
        sides = online.aligned(rows)
        joined = _packed(sides)  # now: the user's function may change them
        return scorer.predict(rows, sides)

    while (body := _receive(gateway)) is not None:
        message = decode_to_scorer(body)
        if isinstance(message, Score):
            begun = time.process_time()
            rows = table(types, msgspec.msgpack.decode(message.columns))
            values, failed = score(predict, rows, budget)
            if failed:  # what was joined last was joined to a part of the rows
                joined = _packed(online.aligned(rows)) if len(failed) < rows.height else none
            _say(gateway, Scored(values, failed, time.process_time() - begun, joined))
        elif isinstance(message, AddRows):
            online.add(message.dataset, msgspec.msgpack.decode(message.columns))
        else:
            _reload(online, scorer, records)


def _packed(sides: dict[str, pl.DataFrame]) -> bytes:
    return msgspec.msgpack.encode([pack(rows) for rows in sides.values()])


def _reload(online: OnlineRows, scorer: Scorer, records: Path) -> None:
    if not scorer.manifest.sides:
        return
    try:
        with Records(records) as store:
            online.take(store)
    except StoreError as problem:  # what is known already is better than no answer
        _logger.warning("online rows cannot be read: %s", problem.message)


def _say(gateway: socket.socket, message: FromScorer) -> None:
    gateway.sendall(frame(message))


def _receive(gateway: socket.socket) -> bytearray | None:
    """The next message's body; None when the gateway is gone."""
    head = _exactly(gateway, LENGTH)
    return None if head is None else _exactly(gateway, int.from_bytes(head, "little"))


def _exactly(gateway: socket.socket, size: int) -> bytearray | None:
    body = bytearray(size)
    view = memoryview(body)
    while view:
        got = gateway.recv_into(view)
        if got == 0:
            return None
        view = view[got:]
    return body


def _end_with_parent() -> None:
    """Standard input ends when the gateway does, also when it was killed and the model is still at work."""
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
