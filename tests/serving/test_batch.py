"""The queue of a scorer: every row gets one answer, its own."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from keepfit.serving.batch import LARGEST, TRIES, Ask, Prediction, Queue
from keepfit.serving.problems import UNAVAILABLE


def answer_all(queue: Queue) -> list[int]:
    """Answer every row with itself; the sizes of the batches that took."""
    sizes = []
    while pieces := queue.take():
        for piece in pieces:
            piece.ask.answer(piece.start, [Prediction(str(r[0]), r[0]) for r in piece.block], None)
        sizes.append(sum(p.stop - p.start for p in pieces))
    return sizes


@given(st.lists(st.integers(1, 2 * LARGEST + 3), min_size=1, max_size=12), st.booleans())
def test_every_row_is_answered_once_with_its_own_answer(sizes: list[int], together: bool) -> None:
    async def check() -> None:
        queue = Queue()
        queue.limit(together=together)
        first = 0
        asks = []
        for size in sizes if together else [min(s, 5) for s in sizes]:
            ask = Ask([(n,) for n in range(first, first + size)])
            first += size
            asks.append(ask)
            queue.put(ask)
        batches = answer_all(queue)
        assert queue.rows == 0
        assert sum(batches) == first
        assert max(batches) <= (LARGEST if together else 1)
        for ask in asks:
            assert ask.done.done()
            assert [a.prediction for a in ask.answers if isinstance(a, Prediction)] == [r[0] for r in ask.block]

    asyncio.run(check())


def test_a_small_request_does_not_wait_for_all_of_a_large_one() -> None:
    async def check() -> None:
        queue = Queue()
        queue.put(Ask([(n,) for n in range(10 * LARGEST)]))
        small = Ask([(0,)])
        queue.put(small)
        queue.take()
        assert small in [piece.ask for piece in queue.take()]

    asyncio.run(check())


def test_rows_whose_scorer_died_are_tried_alone_and_then_given_up() -> None:
    async def check() -> None:
        queue = Queue()
        asks = [Ask([(n,)]) for n in range(3)]
        for ask in asks:
            queue.put(ask)
        queue.put_back(queue.take())
        assert queue.rows == 3
        for _ in range(TRIES - 1):
            assert not asks[0].done.done()
            while (tried := queue.take())[0].ask is not asks[0]:
                queue.put(tried[0].ask)
            queue.put_back(tried)
        assert asks[0].done.done()
        assert asks[0].answers == [UNAVAILABLE]
        assert answer_all(queue) == [1, 1]
        assert all(isinstance(ask.answers[0], Prediction) for ask in asks[1:])

    asyncio.run(check())


def test_requests_can_be_taken_out() -> None:
    async def check() -> None:
        queue = Queue()
        asks = [Ask([(n,), (n,)]) for n in range(4)]
        for ask in asks:
            queue.put(ask)
        assert queue.drop(lambda ask: ask in asks[1:3]) == asks[1:3]
        assert queue.rows == 4
        asks[1].give_up()
        assert asks[1].done.done()
        assert answer_all(queue) == [4]

    asyncio.run(check())
