"""HTTP: who may call, how much, how long; and the client at the other end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from keepfit.core.errors import ServingError, StoreError
from keepfit.serving import connection
from keepfit.serving.access import Access, token_of
from keepfit.serving.client import Client
from keepfit.serving.connection import HttpServer
from keepfit.serving.endpoint import call
from keepfit.serving.http import App, Reply, Request, Route, reply
from keepfit.serving.listen import listen
from keepfit.serving.problems import rejection
from keepfit.serving.settings import Limits

TOKEN = "the token"


async def echo(request: Request) -> Reply:
    return reply({"path": request.path, "query": request.query.decode(), "length": len(request.body)})


async def slow(request: Request) -> Reply:
    await asyncio.sleep(0.3)
    return reply({"slow": True})


async def faulty(request: Request) -> Reply:
    if request.body == b"1":
        raise StoreError("secret place is full", where="/secret")
    if request.body == b"2":
        raise rejection(503, "busy", "try again")
    raise ValueError("secret words")


ROUTES = {
    "/echo": Route({"GET": echo, "POST": echo}),
    "/under/*": Route({"PUT": echo}),
    "/open": Route({"GET": echo}, open=True),
    "/slow": Route({"POST": slow}),
    "/faulty": Route({"POST": faulty}),
}


@contextlib.asynccontextmanager
async def running(max_body: int = 1000, body_seconds: float = 30.0) -> AsyncIterator[tuple[int, list[Any], HttpServer]]:
    seen: list[Any] = []
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        access = Access(TOKEN, ["127.0.0.1", "localhost"], port, exact=["models.example"])
        app = App(ROUTES, access, limits=Limits(max_body, body_seconds), seen=lambda *what: seen.append(what))
        server = HttpServer(app, sock)
        task = asyncio.create_task(server.run())
        try:
            yield port, seen, server
        finally:
            server.stop()
            await task


async def talk(port: int, text: bytes) -> bytes:
    """What comes back for these bytes, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def request(
    method: str = "POST",
    path: str = "/echo",
    body: bytes = b"{}",
    *,
    host: str | None = "localhost:{port}",
    token: str | None = TOKEN,
    kind: str | None = "application/json",
    more: str = "",
) -> str:
    lines = [f"{method} {path} HTTP/1.1", "connection: close", f"content-length: {len(body)}"]
    lines += [f"host: {host}"] if host else []
    lines += [f"authorization: Bearer {token}"] if token else []
    lines += [f"content-type: {kind}"] if kind else []
    return "\r\n".join(lines) + "\r\n" + more + "\r\n" + body.decode()


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        (request(), 200, None),
        (request(path="/echo?log=off"), 200, None),
        (request("GET", body=b"", kind=None), 200, None),
        (request(host="models.example"), 200, None),
        (request(host="LOCALHOST:{port}"), 200, None),
        (request(kind="application/json; charset=utf-8"), 200, None),
        (request(body=b"", kind=None), 200, None),
        (request("PUT", "/under/weather"), 200, None),
        (request("GET", "/open", token=None, host="anything", body=b"", kind=None), 200, None),
        (request(token=None), 401, "token"),
        (request(token="the tokem"), 401, "token"),
        (request(token=""), 401, "token"),
        (request(host=None), 421, "host"),
        (request(host="localhost"), 421, "host"),
        (request(host="localhost:1"), 421, "host"),
        (request(host="evil.example:{port}"), 421, "host"),
        (request(host="localhost:{port}.evil.example"), 421, "host"),
        (request(more="host: localhost:{port}\r\n"), 400, "host"),
        (request(path="/nothing"), 404, "not-found"),
        (request(path="/nothing", token=None), 401, "token"),
        (request(path="/echo/"), 404, "not-found"),
        (request("PUT", "/under/a/b"), 200, None),
        (request("DELETE"), 405, "method"),
        (request("GET", "/under/weather", body=b"", kind=None), 405, "method"),
        (request(body=b"x" * 1001), 413, "too-large"),
        (request(kind=None), 415, "content-type"),
        (request(kind="text/plain"), 415, "content-type"),
        (request(kind="application/jsonp"), 415, "content-type"),
        (request(path="/faulty", body=b"1"), 503, "storage"),
        (request(path="/faulty", body=b"2"), 503, "busy"),
        (request(path="/faulty", body=b"3"), 500, "internal"),
    ],
)
def test_who_may_call_and_what(text: str, status: int, code: str | None) -> None:
    async def check() -> bytes:
        async with running() as (port, seen, _):
            answer = await talk(port, text.replace("{port}", str(port)).encode())
            assert [s for _, s, _ in seen] == [status]
            return answer

    head, _, body = uvloop.run(check()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    value = msgspec.json.decode(body)
    assert value.get("error", {}).get("code") == code
    assert b"secret" not in body
    assert (b"retry-after: 1" in head) == (status == 503)
    assert (b"www-authenticate: Bearer" in head) == (status == 401)
    assert (b"allow: " in head) == (status == 405)


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + (b"0\r\n\r\n" if end else b"")


HEAD = (
    b"POST /echo HTTP/1.1\r\nhost: models.example\r\nauthorization: Bearer the token\r\n"
    b"content-type: application/json\r\nconnection: close\r\n"
)


def test_bodies_in_pieces() -> None:
    async def check() -> None:
        async with running() as (port, _, _):
            answer = await talk(port, HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(b"{", b" " * 500, b"}"))
            assert answer.endswith(b'"length":502}')
            endless = await talk(
                port, HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(*[b" " * 400] * 3, end=False)
            )
            assert b" 413 " in endless.splitlines()[0]

    uvloop.run(check())


def test_slow_and_cut_bodies_end() -> None:
    async def check() -> None:
        async with running(body_seconds=0.1) as (port, seen, _):
            assert b" 408 " in (await talk(port, HEAD + b"content-length: 10\r\n\r\n{"))
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD + b"content-length: 10\r\n\r\n{")
            await writer.drain()
            writer.close()
            await asyncio.sleep(0.3)
            assert [status for _, status, _ in seen] == [408]

    uvloop.run(check())


def test_bodies_that_would_fill_the_memory_together_are_sent_away() -> None:
    async def check() -> None:
        async with running(max_body=1000) as (port, _, _):
            begun = []
            head, body = request(body=b"x" * 1000).format(port=port).split("\r\n\r\n")
            for _ in range(18):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for part in (head + "\r\n\r\n", body[:600], body[600:990]):
                    writer.write(part.encode())
                    await writer.drain()
                    await asyncio.sleep(0.01)
                begun.append((reader, writer))
            for _, writer in begun:
                with contextlib.suppress(ConnectionError):
                    writer.write(body[990:].encode())
            answers = [await asyncio.wait_for(reader.read(), 10) for reader, _ in begun]
            for _, writer in begun:
                writer.close()
            kept = [answer for answer in answers if b" 200 " in answer.partition(b"\r\n")[0]]
            assert 10 <= len(kept) < 18 and all(b"busy" in answer for answer in answers if answer not in kept)
            assert b" 200 " in await talk(port, HEAD + b"content-length: 2\r\n\r\n{}"), "all is forgotten again"

    uvloop.run(check())


def test_heads_that_never_end_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)

    async def check() -> None:
        async with running() as (port, seen, _):
            assert await talk(port, b"") == b""
            assert await talk(port, b"GET /open HTTP/1.1\r\nhost: x") == b""
            first = b"GET /open HTTP/1.1\r\nhost: x\r\n\r\n"
            assert (await talk(port, first + b"GET /open HTTP/1.1\r\nhost")).count(b"HTTP/1.1 200") == 1
            monkeypatch.setattr(connection, "HEAD_SECONDS", 1000)
            assert await talk(port, b"GET /open HTTP/1.1\r\n" + b"x: " + b"y" * 2 * connection.HEAD_BYTES) == b""
            assert len(seen) == 1

    uvloop.run(check())


def test_pipelined_requests_are_answered_in_order_and_what_is_not_http_is_refused() -> None:
    async def check() -> None:
        async with running() as (port, _, _):
            keep = HEAD.replace(b"connection: close\r\n", b"")
            answer = await talk(
                port,
                keep.replace(b"/echo", b"/slow") + b"content-length: 0\r\n\r\n" + HEAD + b"content-length: 0\r\n\r\n",
            )
            assert answer.index(b"slow") < answer.index(b"/echo")
            assert (await talk(port, b"\x16\x03\x01 not http\r\n\r\n")).startswith(b"HTTP/1.1 400")

    uvloop.run(check())


def test_what_has_been_asked_is_answered_before_the_end() -> None:
    async def check() -> None:
        async with running() as (port, _, server), Client(f"http://localhost:{port}", TOKEN, 4) as client:
            asked = [asyncio.create_task(client.request("POST", "/slow", b"{}")) for _ in range(4)]
            await asyncio.sleep(0.1)
            server.stop()
            assert [status for status, _ in await asyncio.gather(*asked)] == [200] * 4

    uvloop.run(check())


def test_the_client_keeps_few_connections_and_many_requests() -> None:
    async def check() -> None:
        async with running() as (port, seen, _), Client(f"http://localhost:{port}", TOKEN, 3) as client:
            asked = [client.request("POST", f"/echo?{n}", b"{}") for n in range(50)]
            answers = [msgspec.json.decode(body)["query"] for _, body in await asyncio.gather(*asked)]
            assert answers == [str(n) for n in range(50)]
            assert len(seen) == 50

    uvloop.run(check())


def test_a_cancelled_request_does_not_mix_up_answers() -> None:
    async def check() -> None:
        async with running() as (port, _, _), Client(f"http://localhost:{port}", TOKEN, 1) as client:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.request("POST", "/slow", b"{}"), 0.05)
            status, body = await client.request("POST", "/echo?mine", b"{}")
            assert (status, msgspec.json.decode(body)["query"]) == (200, "mine")

    uvloop.run(check())


def test_no_answer_is_an_error_that_says_so() -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    async def check() -> None:
        server = await asyncio.start_server(breaks, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Client(f"http://127.0.0.1:{port}", TOKEN) as client:
            with pytest.raises(ServingError, match="does not answer"):
                await client.request("GET", "/echo")
        with pytest.raises(ServingError, match="does not answer"):
            await Client(f"http://127.0.0.1:{port}", TOKEN).request("GET", "/echo")

    uvloop.run(check())


def test_one_call() -> None:
    async def check() -> None:
        async with running() as (port, _, _):
            url = f"http://localhost:{port}"
            assert (await asyncio.to_thread(call, url, TOKEN, "POST", "/echo", {}))["length"] == 2
            with pytest.raises(ServingError) as caught:
                await asyncio.to_thread(call, url, "wrong", "POST", "/echo", {})
            assert caught.value.message == "the endpoint answered 401: the token is missing or wrong"
        with pytest.raises(ServingError, match="does not answer"):
            call(url, TOKEN, "POST", "/echo", {})

    uvloop.run(check())


def test_an_address_in_use_is_reported() -> None:
    with listen("127.0.0.1", 0) as sock, pytest.raises(ServingError, match="cannot listen"):
        listen("127.0.0.1", sock.getsockname()[1])


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    token = token_of(tmp_path)
    assert len(token) >= 32
    assert token_of(tmp_path) == token
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("host", "hint"), [("192.0.2.1", "address of this machine"), ("no.such.invalid", "address of")]
)
def test_an_address_that_is_not_ours_gets_the_hint_that_helps(host: str, hint: str) -> None:
    with pytest.raises(ServingError) as caught:
        listen(host, 0)
    assert hint in str(caught.value.hint)
    assert "while" not in caught.value.message
