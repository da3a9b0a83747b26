"""The load test against servers whose every answer is known."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keepfit.core.errors import ServingError
from keepfit.loadtest.fire import Target, fire
from keepfit.loadtest.load import Load, distribution, quantiles
from keepfit.loadtest.questions import Questions

Answering = Callable[[socket.socket, bytes, int], bool]
"""Answers a body, the n-th on its connection; False ends the connection."""


def say(sock: socket.socket, value: Any, *, status: int = 200, more: str = "") -> bool:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode()
    sock.sendall(head + body)
    return True


def right(sock: socket.socket, body: bytes, count: int = 0, *, version: int = 1) -> bool:
    return say(sock, {"version": version, "predictions": [{"id": "p", "prediction": float(json.loads(body))}]})


@contextlib.contextmanager
def server(answering: Answering) -> Iterator[Target]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threads.append(threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True))
                    threads[-1].start()

        def talk(sock: socket.socket) -> None:
            with sock, sock.makefile("rb") as heard, contextlib.suppress(OSError):
                for count in range(10**9):
                    length = None
                    while (line := heard.readline()) != b"\r\n":
                        if not line:
                            return
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    assert length is not None
                    if not answering(sock, heard.read(length), count):
                        return

        threading.Thread(target=accept, daemon=True).start()
        yield Target(f"http://127.0.0.1:{listening.getsockname()[1]}", "token")
        listening.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)


def questions(count: int = 5, *, only: bool = False, **promised: float) -> Questions:
    bodies = [str(i).encode() for i in range(count)]
    return Questions(bodies, {1: [[float(i)] for i in range(count)]}, only=only)


def test_an_open_load_sends_at_its_rate_and_checks_every_answer() -> None:
    with server(right) as target:
        figures = fire(target, questions(), Load(rate=400, seconds=0.5, connections=16))
    assert (figures.sent, figures.answered, figures.failed, figures.wrong) == (200, 200, 0, 0)
    assert (figures.statuses, figures.versions, figures.examples) == ({"200": 200}, {"1": 200}, [])
    assert sum(bucket.answers for bucket in figures.distribution) == 200


def test_latency_counts_from_when_a_request_was_due() -> None:
    """Coordinated omission: a server that stalls is charged for all who would have asked meanwhile."""
    stalled = threading.Event()

    def stalls(sock: socket.socket, body: bytes, count: int) -> bool:
        if not stalled.is_set():
            stalled.set()
            time.sleep(0.5)
        return right(sock, body)

    with server(stalls) as target:
        figures = fire(target, questions(), Load(rate=200, seconds=0.5, connections=1))
    assert figures.answered == figures.sent == 100
    assert figures.latency["max"] >= 0.5
    assert figures.latency["p50"] >= 0.2, "half of them were due in the first half of the stall"


def test_a_closed_load_keeps_its_connections_busy_until_told_to_stop() -> None:
    opened: list[socket.socket] = []

    def counted(sock: socket.socket, body: bytes, count: int) -> bool:
        if count == 0:
            opened.append(sock)
        return right(sock, body)

    with server(counted) as target:
        figures = fire(target, questions(), Load(connections=4, seconds=60), stop=lambda seconds: seconds > 0.3)
    assert len(opened) == 4
    assert figures.sent == figures.answered > 4


def test_other_values_statuses_and_versions_are_told() -> None:
    def wrong(sock: socket.socket, body: bytes, count: int) -> bool:
        if body == b"1":
            return say(sock, {"version": 1, "predictions": [{"id": "p", "prediction": 1.0000000000000002}]})
        if body == b"2":
            return say(sock, {"error": {"message": "busy"}}, status=503)
        if body == b"3":
            return right(sock, body, version=9)
        return right(sock, body) if body == b"0" else say(sock, {"odd": True})

    with server(wrong) as target:
        figures = fire(target, questions(only=True), Load(rate=100, seconds=0.25, connections=1))
    assert figures.statuses == {"200": 20, "503": 5}
    assert (figures.answered, figures.wrong, figures.failed) == (5, 15, 20)
    assert figures.versions == {"1": 10, "9": 5, "?": 5}
    told = "\n".join(figures.examples)
    assert all(word in told for word in ("1.0000000000000002", "busy", "version 9", "not an answer"))


def test_where_nothing_is_promised_the_first_answer_must_be_repeated() -> None:
    def drifts(sock: socket.socket, body: bytes, count: int) -> bool:
        value = float(count == 7)
        return say(sock, {"version": 3, "predictions": [{"id": "p", "prediction": value}]})

    with server(drifts) as target:
        figures = fire(target, questions(), Load(rate=100, seconds=0.2, connections=1))
    assert (figures.sent, figures.wrong) == (20, 1)


def test_connections_that_break_fail_the_requests_on_them_and_no_others() -> None:
    def breaks(sock: socket.socket, body: bytes, count: int) -> bool:
        return body != b"3" and right(sock, body)

    with server(breaks) as target:
        figures = fire(target, questions(), Load(rate=200, seconds=0.25, connections=8))
        closed = fire(target, questions(), Load(connections=2, seconds=0.2))
    assert figures.statuses == {"200": 40, "broken off": 10}
    assert figures.failed == 10
    assert closed.statuses["broken off"] == closed.failed


def test_a_connection_that_says_it_closes_is_not_asked_again() -> None:
    def closes(sock: socket.socket, body: bytes, count: int) -> bool:
        answer = {"version": 1, "predictions": [{"id": "p", "prediction": float(body)}]}
        say(sock, answer, more="Connection: close\r\n")
        time.sleep(0.02)
        return False

    with server(closes) as target:
        figures = fire(target, questions(), Load(rate=100, seconds=0.3, connections=8))
    assert figures.statuses == {"200": 30}


def test_answers_that_never_come_count_as_not_answered() -> None:
    def mute(sock: socket.socket, body: bytes, count: int) -> bool:
        return True if body == b"1" else right(sock, body)

    with server(mute) as target:
        figures = fire(target, questions(), Load(rate=50, seconds=0.2, connections=20, patience=0.5))
    assert figures.statuses == {"200": 8, "no answer": 2}
    assert figures.failed == 2


def test_large_bodies_and_answers_in_pieces() -> None:
    body = b'"' + b"x" * 8_000_000 + b'"'

    def slow(sock: socket.socket, heard: bytes, count: int) -> bool:
        assert heard == body
        answer = b'{"version": 1, "predictions": [{"id": "p", "prediction": 1.5}]}'
        for part in (b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: %d\r\n\r\n" % len(answer), answer[:9], answer[9:]):
            sock.sendall(part)
            time.sleep(0.01)
        return True

    with server(slow) as target:
        figures = fire(target, Questions([body], {1: [[1.5]]}), Load(rate=10, seconds=0.3, connections=2))
    assert (figures.sent, figures.answered) == (3, 3)


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServingError, match="does not answer: Connection refused"):
        fire(Target(url, ""), questions(), Load(rate=1))


def test_times_by_chance_are_the_same_in_each_test_and_have_the_rate() -> None:
    load = Load(rate=1000, seconds=10, poisson=True)
    times = list(load.times())
    assert times == list(load.times()) == sorted(times)
    assert 9_500 < len(times) < 10_500
    assert len(list(Load(rate=1000, seconds=10).times())) == 10_000


def test_quantiles_are_answers_that_were_given() -> None:
    assert quantiles([]) == {}
    assert quantiles([3.0]) == dict.fromkeys(("p50", "p90", "p95", "p99", "p99.9", "max"), 3.0)
    assert quantiles([i / 1000 for i in range(1, 1001)]) == {
        "p50": 0.5,
        "p90": 0.9,
        "p95": 0.95,
        "p99": 0.99,
        "p99.9": 0.999,
        "max": 1.0,
    }
    assert sum(bucket.answers for bucket in distribution([0.0, 0.001, 0.5, 0.5, 30.0])) == 5
    assert distribution([]) == []
