"""Group commit: writers who come while a commit is under way share the next one."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from keepfit.core.errors import StoreError

A = TypeVar("A")
T = TypeVar("T")


class Work(Generic[A, T]):
    """One caller's share of a commit: what is asked, and how it went."""

    __slots__ = ("asked", "done", "error", "result")

    def __init__(self, asked: A) -> None:
        self.asked = asked
        self.done = False
        self.error: Exception | None = None
        self.result: T | None = None


class Group(Generic[A, T]):
    """Lets one of several concurrent writers commit the work of all.

    `commit` does the work of all it is given in one transaction, setting each one's result or
    error; what it raises counts for all of them. A lone writer commits at once.
    """

    def __init__(self, commit: Callable[[Sequence[Work[A, T]]], None]) -> None:
        self._commit = commit
        self.start()
        _GROUPS.add(self)

    def start(self) -> None:
        """Begin with nobody waiting."""
        self._turn = threading.Condition()
        self._queue: list[Work[A, T]] = []
        self._busy = False

    def run(self, asked: A) -> T:
        """What comes of it, once it is committed; raises what refuses it, or the commit."""
        work: Work[A, T] = Work(asked)
        with self._turn:
            self._queue.append(work)
            try:
                while self._busy and not work.done:
                    self._turn.wait()
            except BaseException:
                if work in self._queue:  # interrupted before anyone took it
                    self._queue.remove(work)
                raise
            if not work.done:
                self._busy, batch, self._queue = True, self._queue, []
        if not work.done:
            self._lead(batch)
        if work.error is not None:
            raise work.error
        return cast(T, work.result)

    def _lead(self, batch: Sequence[Work[A, T]]) -> None:
        try:
            self._commit(batch)
        except Exception as problem:
            for work in batch:
                work.error = problem
        except BaseException:
            for work in batch:
                work.error = StoreError("the write was interrupted", hint="do it again")
            raise
        finally:
            with self._turn:
                self._busy = False
                for work in batch:
                    work.done = True
                self._turn.notify_all()


_GROUPS: weakref.WeakSet[Group[Any, Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for group in _GROUPS:  # the threads that led or waited are not here
        group.start()


os.register_at_fork(after_in_child=_after_fork_in_child)
