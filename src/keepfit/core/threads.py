"""Doing a few things side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def side_by_side(do: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """What `do` gives for each item, in order, each in a thread of its own; raises what the first in order raised.

    For work that waits for the disk or lets go of the interpreter. Plain threads, for
    concurrent.futures takes longer to import than most of it takes.
    """
    found: dict[int, B] = {}
    problems: dict[int, BaseException] = {}

    def one(number: int) -> None:
        try:
            found[number] = do(items[number])
        except BaseException as problem:
            problems[number] = problem

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, len(items))]
    for thread in threads:
        thread.start()
    if items:
        one(0)
    for thread in threads:
        thread.join()
    for number in sorted(problems):
        raise problems[number]
    return [found[number] for number in range(len(items))]
