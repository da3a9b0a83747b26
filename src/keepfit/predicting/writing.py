"""A table written part by part, as Parquet or CSV, in bounded memory."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any

import polars as pl
from polars.io.plugins import register_io_source

from keepfit.core.errors import StoreError

Write = Callable[[pl.DataFrame], None]
_WAIT = 0.5


@contextlib.contextmanager
def writing(file: IO[bytes], suffix: str, schema: pl.Schema) -> Iterator[Write]:
    """For the block, what takes the parts of the table; at its end all of it is in the file.

    Raises StoreError when the disk refuses.
    """
    if suffix == ".csv":
        yield _Delimited(file).write
        return
    sink = _Sink(file, schema)
    try:
        yield sink.write
    except BaseException:
        sink.end(whole=False)
        raise
    sink.end(whole=True)


class _Delimited:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._first = True

    def write(self, part: pl.DataFrame) -> None:
        with _refusals(self._file):
            part.write_csv(self._file, include_header=self._first)
        self._first = False


class _Sink:
    """A thread in which polars writes row groups as they come; it takes the next part only when it is done with one."""

    def __init__(self, file: IO[bytes], schema: pl.Schema) -> None:
        self._file, self._schema = file, schema
        self._parts = queue.Queue[pl.DataFrame | None](1)
        self._whole = True
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writing", daemon=True)
        self._thread.start()

    def write(self, part: pl.DataFrame | None) -> None:
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._parts.put(part, timeout=_WAIT)
                return
        raise self._problem or StoreError("the table could not be written")

    def end(self, *, whole: bool) -> None:
        self._whole = whole
        with contextlib.suppress(*(() if whole else (Exception,))):
            self.write(None)
        self._thread.join()
        if whole and self._problem:
            raise self._problem

    def _run(self) -> None:
        def parts(*_: Any) -> Iterator[pl.DataFrame]:
            while (part := self._parts.get()) is not None:
                yield part
            if not self._whole:
                raise InterruptedError("the rest is not written")

        try:
            with _refusals(self._file):
                register_io_source(parts, schema=self._schema).sink_parquet(self._file)
        except BaseException as problem:
            self._problem = problem


@contextlib.contextmanager
def _refusals(file: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem).partition("\n")[0]
        raise StoreError(f"the table cannot be written: {reason}", where=str(file.name)) from problem
