"""Who may call: those who hold the project's token and call the endpoint by one of its names."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path

from keepfit.core.files import locked, write_file
from keepfit.serving.problems import Rejection, rejection

Headers = Iterable[tuple[bytes, bytes]]


def token_of(folder: Path) -> str:
    """The project's token, made at first use in `folder`; only the owner of the file can read it."""
    path = folder / "token"
    if not path.exists():
        with locked(folder / "token.lock"):
            if not path.exists():
                write_file(path, secrets.token_urlsafe(32).encode(), mode=0o600)
    return path.read_text().strip()


class Access:
    """The rule of who may call."""

    def __init__(self, token: str, names: Iterable[str], port: int, *, exact: Iterable[str] = ()) -> None:
        """`names` are called with the port, `exact` just as they are."""
        called = [f"{name}:{port}" for name in names] + ([*names] if port == 80 else [])
        self._bearer = f"Bearer {token}".encode()
        self._hosts = {host.lower().encode() for host in [*called, *exact]}

    def check(self, headers: Headers) -> Rejection | None:
        """None, or why the call is refused: 421 for a wrong Host, 401 for a wrong token."""
        host: bytes | None = None
        bearer = b""
        for name, value in headers:
            if name == b"host":
                if host is not None:
                    return rejection(400, "host", "the request has two Host headers")
                host = value
            elif name == b"authorization":
                bearer = value
        if host is None or host.lower() not in self._hosts:
            return rejection(
                421, "host", "this endpoint is not called by that name", hint="add it to `hosts` under [serve]"
            )
        return self.check_token(bearer)

    def check_token(self, authorization: bytes) -> Rejection | None:
        """None, or why a call that says this of itself is refused."""
        if hmac.compare_digest(authorization, self._bearer) or self._knows(authorization):
            return None
        return rejection(401, "token", "the token is missing or wrong", hint="it is in the file .keepfit/token")

    def _knows(self, authorization: bytes) -> bool:
        """Whether the token comes as the password of Basic, which is all that some clients can send (RFC 7617)."""
        scheme, _, encoded = authorization.partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            password = base64.b64decode(encoded, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
        return hmac.compare_digest(b"Bearer " + password, self._bearer)
