"""Messages as JSON to a web address, signed as Standard Webhooks has it (standardwebhooks.com, 2023).

The key is what follows `#` in the address, which HTTP never sends. Headers: `webhook-id`, the same each
time a message is sent; `webhook-timestamp`; `webhook-signature`, `v1,` and the base64 HMAC-SHA256 of
`id.timestamp.body`. Receivers refuse what is older than some minutes and forget ids not sooner.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Collection
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from keepfit.alerting.message import Message
from keepfit.core.errors import DeliveryError

TIMEOUT = 10.0
"""Seconds that connecting may take, and each wait for the answer."""
_ENCODED = "whsec_"


def post(address: str, message: Message, private: Collection[str]) -> None:
    """Send it; DeliveryError unless the answer is 2xx. A redirect is not followed."""
    parts = urlsplit(address)
    body = msgspec.json.encode(
        {
            "id": message.id,
            "form": message.form,
            "time": message.time,
            "title": message.title,
            "text": message.short,  # what chats show of a webhook
            "long": message.text,
            "faults": message.faults,
        }
    )
    stamp = str(int(time.time()))
    headers = {"content-type": "application/json", "webhook-id": message.id, "webhook-timestamp": stamp}
    if parts.fragment:
        headers["webhook-signature"] = f"v1,{signature(parts.fragment, message.id, stamp, body)}"
    status = _ask(parts, "POST", body, headers, private)
    if not 200 <= status < 300:
        told = " (a redirect is not followed)" if 300 <= status < 400 else ""
        raise DeliveryError(f"`{parts.hostname}` answered {status}{told}")


def ping(address: str, private: Collection[str]) -> None:
    """Ask for an address; DeliveryError unless the answer is 2xx."""
    parts = urlsplit(address)
    status = _ask(parts, "GET", None, {}, private)
    if not 200 <= status < 300:
        raise DeliveryError(f"`{parts.hostname}` answered {status}")


def signature(key: str, id: str, stamp: str, body: bytes) -> str:
    """The base64 HMAC-SHA256 of a message."""
    secret = key.encode()
    if key.startswith(_ENCODED):
        try:
            secret = base64.b64decode(key.removeprefix(_ENCODED), validate=True)
        except binascii.Error:
            raise DeliveryError(
                f"the key of the webhook begins with `{_ENCODED}`, but base64 does not follow"
            ) from None
    return base64.b64encode(hmac.digest(secret, f"{id}.{stamp}.".encode() + body, "sha256")).decode()


def _ask(parts: SplitResult, method: str, body: bytes | None, headers: dict[str, str], private: Collection[str]) -> int:
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    connection: http.client.HTTPConnection | None = None
    try:
        port = parts.port or (443 if secure else 80)
        found = _resolved(host, port, host in private)
        context = ssl.create_default_context() if secure else None
        connection = _Connection(host, port, found, context)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, {"user-agent": "keepfit", **headers, **_login(parts)})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as problem:
        told = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        raise DeliveryError(f"`{host}` cannot be reached: {told}") from None
    finally:
        if connection:
            connection.close()


def _login(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}


def _resolved(host: str, port: int, private: bool) -> str:
    """The address that the host has now; DeliveryError when it is a private one, unless those are allowed."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not private and (inside := [a for a in found if not ipaddress.ip_address(a.partition("%")[0]).is_global]):
        hint = f'if that is meant: [alerts] private = ["{host}"] in keepfit.toml'
        raise DeliveryError(f"`{host}` has the private address {inside[0]}", hint=hint)
    return found[0]


class _Connection(http.client.HTTPConnection):
    """One to the address that was looked at, whatever the name means a moment later."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=TIMEOUT)
        self._address, self._context = address, context

    def connect(self) -> None:
        """Connect, and speak TLS with the host by its name where that is asked for."""
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._context:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
