"""Connections lent to one thread at a time, none of which crosses a fork."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from keepfit.core.errors import StoreError


class Closeable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closeable)


class Pool(Generic[C]):
    """As many connections as there ever were threads at work at once.

    A fork waits until none is lent and finds none open: two processes that share a database's
    locks would lose facts.
    """

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._closed = False
        self.start()
        _POOLS.add(self)

    def start(self) -> None:
        """Begin without connections."""
        self._gate = threading.Condition()
        self._idle: list[C] = []
        self._lent = 0

    @contextlib.contextmanager
    def lend(self) -> Iterator[C]:
        """A connection for the block, closed afterwards if the block raises; StoreError once the pool is closed."""
        with self._gate:
            if self._closed:
                raise StoreError("the database has been closed")
            self._lent += 1
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or self._connect()
            yield connection
        except BaseException:
            if connection is not None:
                connection.close()
            connection = None
            raise
        finally:
            self._take_back(connection)

    def drop(self) -> None:
        """Close the connections that are not lent; the next are made anew."""
        with self._gate:
            self._close_idle()

    def close(self) -> None:
        """Close every connection; those that are lent, when they come back."""
        with self._gate:
            self._closed = True
            self._close_idle()

    def __del__(self) -> None:
        self._close_idle()

    def hold(self) -> None:
        """Wait until no connection is lent, close all, and lend none until `resume`."""
        self._gate.acquire()
        self._gate.wait_for(lambda: self._lent == 0)
        self._close_idle()

    def resume(self) -> None:
        """Lend again."""
        self._gate.release()

    def _take_back(self, connection: C | None) -> None:
        with self._gate:
            self._lent -= 1
            if connection is not None:
                self._idle.append(connection)
            if self._closed:
                self._close_idle()
            self._gate.notify_all()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


_POOLS: weakref.WeakSet[Pool[Any]] = weakref.WeakSet()
_HELD: list[Pool[Any]] = []


def _before_fork() -> None:
    for pool in list(_POOLS):
        pool.hold()
        _HELD.append(pool)


def _after_fork_in_parent() -> None:
    while _HELD:
        _HELD.pop().resume()


def _after_fork_in_child() -> None:
    while _HELD:
        _HELD.pop().start()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
