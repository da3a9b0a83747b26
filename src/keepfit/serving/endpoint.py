"""Where the project's endpoint is, and one request at a time to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from keepfit.core.errors import ServingError
from keepfit.core.files import locked
from keepfit.home import Home
from keepfit.serving.access import token_of
from keepfit.serving.conduct import Standing

SYNC_SECONDS = 180.0
"""How long loading and proving a model may take."""
NOTICING = 3.0
"""Seconds within which a gateway whose parent was killed has noticed, and no longer says where it is."""
ENDING = 90.0
"""Seconds a gateway may take to answer what has been asked, and end."""


class Endpoint(msgspec.Struct, frozen=True):
    """A running gateway."""

    url: str
    pid: int


def endpoint_file(folder: Path) -> Path:
    """Where a gateway says where it is."""
    return folder / "serving" / "endpoint.json"


def endpoint(home: Home) -> Endpoint | None:
    """The project's gateway on this machine, if one is running and ready."""
    lock = home.folder / "serving" / "gateway.lock"
    try:
        found = msgspec.json.decode(endpoint_file(home.folder).read_bytes(), type=Endpoint)
    except (OSError, msgspec.MsgspecError):
        return None
    with locked(lock, wait=False) as nobody:
        return None if nobody else found


@contextlib.contextmanager
def only_gateway(folder: Path) -> Iterator[None]:
    """Be the project's only gateway for the block; one that is ending is waited for.

    Raises ServingError when there is one that goes on saying where it is.
    """
    begun = time.monotonic()
    while True:
        with locked(folder / "serving" / "gateway.lock", wait=False) as alone:
            if alone:
                yield
                return
        waited = time.monotonic() - begun
        if waited > ENDING or (waited > NOTICING and endpoint_file(folder).exists()):
            raise ServingError("another gateway serves this project already", where=str(folder), hint="keepfit status")
        time.sleep(0.01)


def sync(home: Home) -> dict[str, Any] | None:
    """Have the running gateway make live what the ledger says, and write out its log; what is live then.

    None when no gateway is running. Raises ServingError when it does not answer as it should.
    """
    return _control(home, "/control/sync", {})


def prove(home: Home, package: str, version: int) -> str | None:
    """Have the running gateway load a package and let it prove itself; why it will not do, if it won't.

    None when it will, and when no gateway is running. Raises ServingError when it does not answer as it should.
    """
    told = _control(home, "/control/prove", {"id": "", "version": version, "package": package})
    return told["refused"] if told else None


def conduct(home: Home) -> list[Standing]:
    """How the models on trial stand at the running gateway, and which of them it stopped; nothing when none is running.

    Raises ServingError when it does not answer as it should.
    """
    told = _control(home, "/control/rollout", None)
    return msgspec.convert(told["trials"], list[Standing]) if told else []


def _control(home: Home, path: str, value: Any) -> dict[str, Any] | None:
    found = awaited(home)
    if found is None:
        return None
    token, method = token_of(home.folder), "GET" if value is None else "POST"
    try:
        return dict(call(found.url, token, method, path, value, timeout=SYNC_SECONDS))
    except ServingError:
        other = awaited(home)
        if other == found:
            raise
    if other is None:  # it ended meanwhile: whoever starts it again follows the ledger
        return None
    return dict(call(other.url, token, method, path, value, timeout=SYNC_SECONDS))


def awaited(home: Home) -> Endpoint | None:
    """The gateway; one that is starting, and does not say yet where it is, is waited for."""
    begun = time.monotonic()
    while True:
        if found := endpoint(home):
            return found
        with locked(home.folder / "serving" / "gateway.lock", wait=False) as nobody:
            if nobody or time.monotonic() - begun > SYNC_SECONDS:
                return None
        time.sleep(0.05)


def call(url: str, token: str, method: str, path: str, value: Any = None, *, timeout: float = 60.0) -> Any:
    """One request with a JSON body, and the JSON it gives back; ServingError in the endpoint's own words otherwise."""
    import http.client  # brings the email package: only for those who do call

    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=timeout)
    body = None if value is None else msgspec.json.encode(value)
    try:
        connection.request(method, path, body, headers(token))
        response = connection.getresponse()
        status, content = response.status, response.read()
    except (OSError, http.client.HTTPException) as problem:
        raise no_answer(url, problem) from problem
    finally:
        connection.close()
    if status >= 400:
        raise refused(status, content)
    try:
        return msgspec.json.decode(content)
    except msgspec.MsgspecError:
        return content.decode(errors="replace")


def refused(status: int, content: bytes) -> ServingError:
    """The error that an endpoint's refusal stands for."""
    try:
        told = msgspec.json.decode(content)["error"]
        message, where, hint = told["message"], told.get("path"), told.get("hint")
    except (msgspec.MsgspecError, LookupError, TypeError):
        message, where, hint = content[:200].decode(errors="replace"), None, None
    return ServingError(f"the endpoint answered {status}: {message}", where=where, hint=hint)


def headers(token: str) -> dict[str, str]:
    """What every request says of itself."""
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def no_answer(url: str, problem: Exception) -> ServingError:
    """The error for an endpoint that cannot be reached, or broke off."""
    reason = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return ServingError(f"{url} does not answer: {reason}", hint="keepfit up")
