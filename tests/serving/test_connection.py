"""HTTP/1.1 on the wire: what clients may do with a connection, and what they may not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from test_http import TOKEN, chunked, running, talk

Check = Callable[[int], Awaitable[None]]


def head(path: str = "/echo", *more: str, version: str = "1.1", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: models.example", f"authorization: Bearer {TOKEN}"]
    return "\r\n".join([*lines, "content-type: application/json", *more, "", ""]).encode()


def body(text: str = "{}") -> str:
    return f"content-length: {len(text)}"


async def exchange(port: int, *parts: bytes, eof: bool = False, pause: float = 0.0) -> bytes:
    """All that comes back until the server closes, for parts that are sent one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)
    if eof:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def checked(check: Check, max_body: int = 1000) -> None:
    async def run() -> None:
        async with running(max_body=max_body) as (port, _, _):
            await check(port)

    uvloop.run(run())


def test_a_client_that_has_said_all_it_will_is_answered() -> None:
    async def check(port: int) -> None:
        asked = head("/slow", body()) + b"{}" + head("/echo", body()) + b"{}"
        answer = await exchange(port, asked, eof=True)
        assert answer.index(b"slow") < answer.index(b"/echo")
        assert await exchange(port, head("/echo", "content-length: 10") + b"{", eof=True) == b"", "half a request"

    checked(check)


def test_refusals_keep_their_place_among_answers_and_their_bodies_are_no_requests() -> None:
    async def check(port: int) -> None:
        smuggled = head("/echo?smuggled", body()) + b"{}"
        asked = head("/slow", body()) + b"{}"
        asked += head("/nothing", f"content-length: {len(smuggled)}") + smuggled
        asked += head("/echo?last", body(), "connection: close") + b"{}"
        answer = await exchange(port, asked)
        assert answer.count(b"HTTP/1.1 ") == 3 and b"smuggled" not in answer
        assert answer.index(b"slow") < answer.index(b"HTTP/1.1 404") < answer.index(b"last")

    checked(check)


@pytest.mark.parametrize(
    "framing",
    [
        ("content-length: 2", "transfer-encoding: chunked"),
        ("content-length: 2", "content-length: 3"),
        ("content-length: -1",),
        ("content-length: x",),
        ("transfer-encoding: chunked, identity",),
        ("transfer-encoding : chunked",),
    ],
)
def test_what_two_readers_could_read_differently_is_no_request(framing: tuple[str, ...]) -> None:
    async def check(port: int) -> None:
        answer = await exchange(port, head("/echo", *framing) + b"{}" + head("/echo?second", body()) + b"{}")
        assert answer.startswith(b"HTTP/1.1 400 ") and b"second" not in answer

    checked(check)


def test_old_clients_say_when_they_want_to_go_on() -> None:
    async def check(port: int) -> None:
        once = await exchange(port, head("/echo", body(), version="1.0") + b"{}")
        assert once.startswith(b"HTTP/1.1 200 ") and b"connection: close" in once
        kept = head("/echo", body(), "connection: keep-alive", version="1.0") + b"{}"
        answer = await exchange(port, kept + head("/echo", body(), version="1.0") + b"{}")
        assert answer.count(b"HTTP/1.1 200 ") == 2 and answer.count(b"connection: keep-alive") == 1

    checked(check)


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked() -> None:
    async def check(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("/echo", body(), "expect: 100-continue", "connection: close"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert b" 200 " in await reader.read()
        writer.close()
        refused = await exchange(port, head("/echo", "content-length: 2000", "expect: 100-continue"))
        assert refused.startswith(b"HTTP/1.1 413 ") and refused.count(b"HTTP/1.1 ") == 1

    checked(check)


def test_nothing_is_upgraded() -> None:
    async def check(port: int) -> None:
        asked = head("/echo", "connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAA", body())
        answer = await exchange(port, asked + b"{}" + head("/echo?second", body()) + b"{}")
        assert answer.count(b"HTTP/1.1 200 ") == 1 and b"second" not in answer
        assert (await exchange(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).startswith(b"HTTP/1.1 400 ")

    checked(check)


def test_heads_only_and_other_forms_of_a_target() -> None:
    async def check(port: int) -> None:
        only = await exchange(port, head("/open", "connection: close", method="HEAD"))
        assert only.startswith(b"HTTP/1.1 405 ") and only.endswith(b"\r\n\r\n")
        absolute = await exchange(port, head("http://models.example/echo?a", body(), "connection: close") + b"{}")
        assert b'"query":"a"' in absolute
        assert b'"path":"/under/a b"' in await exchange(
            port, head("/under/a%20b", body(), "connection: close", method="PUT") + b"{}"
        )

    checked(check)


def test_a_refused_upload_reads_why_though_it_goes_on_sending() -> None:
    async def check(port: int) -> None:
        much = [b"x" * 65_536] * 40
        answer = await exchange(port, head("/echo", f"content-length: {40 * 65_536}"), *much)
        assert answer.startswith(b"HTTP/1.1 413 ") and b"connection: close" in answer
        endless = await exchange(port, head("/echo", "transfer-encoding: chunked"), *[chunked(*much, end=False)])
        assert endless.startswith(b"HTTP/1.1 413 ")

    checked(check)


def test_a_request_in_single_bytes_and_many_in_one_piece() -> None:
    async def check(port: int) -> None:
        asked = head("/echo?one", body(), "connection: close") + b"{}"
        assert b"one" in await exchange(port, *(asked[i : i + 1] for i in range(len(asked))))
        many = b"".join(head(f"/echo?n{n}.", body()) + b"{}" for n in range(500))
        answer = await exchange(port, many + head("/echo?end", body(), "connection: close") + b"{}")
        places = [answer.index(b"n%d." % n) for n in range(500)]
        assert places == sorted(places) and answer.endswith(b'"query":"end","length":2}')

    checked(check)


def test_a_client_that_reads_nothing_is_not_read_from_for_ever() -> None:
    async def check(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        asked = head("/echo?" + "x" * 30_000, body()) + b"{}"
        sent = 0
        try:
            while sent < 2000:
                writer.write(asked)
                await asyncio.wait_for(writer.drain(), 0.5)
                sent += 1
        except TimeoutError:
            pass
        assert sent < 2000, "the answers that nobody reads would fill the memory"
        assert b" 200 " in await talk(port, head("/echo", body(), "connection: close") + b"{}")
        writer.transport.abort()

    checked(check)
