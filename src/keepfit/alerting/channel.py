"""Channels: addresses that messages go to, and the secrets in them that nobody is to see."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import DeliveryError, UsageError

WEB = ("http", "https")
PLAIN = (*WEB, "mailto", "mailtos", "json", "jsons", "syslog")
"""Schemes of addresses that need not hold a secret; all others belong into an environment variable or a file."""
_FILE = "file:"
_SECRETS = ("pass", "password", "token", "key", "secret")


def check_channel(written: str) -> None:
    """UsageError when this is no way to write a channel in keepfit.toml, or holds a secret."""
    if written.startswith("$"):
        if not (written[1:].isascii() and written[1:].isidentifier()):
            raise UsageError(f"`{written}` is no environment variable", hint='write "$TEAM_SLACK"')
        return
    if written.startswith(_FILE):
        if not written.removeprefix(_FILE).strip():
            raise UsageError(f"`{written}` names no file", hint='write "file:/run/secrets/slack"')
        return
    parts = _split(written)
    if parts is None:
        raise UsageError(f"`{written.partition(':')[0]}` is no channel", hint=_HINT)
    options = {option.partition("=")[0].lower() for option in parts.query.split("&")}
    if parts.scheme not in PLAIN or parts.password is not None or parts.fragment or options & set(_SECRETS):
        hint = 'put the address into an environment variable and write "$NAME" (or "file:PATH", mode 0600)'
        raise UsageError(f"a secret of `{parts.scheme}://` does not belong into keepfit.toml", hint=hint)


def name_of(written: str) -> str:
    """What a channel is called wherever people and facts see it: without what its address may hold of secrets."""
    parts = None if written.startswith(("$", _FILE)) else _split(written)
    if parts is None:
        return written
    host = parts.netloc.rpartition("@")[2]
    rest = f"/*** ({digest_bytes(written.encode())[:4]})" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{host}{rest}"


def address_of(root: Path, written: str) -> str:
    """The address itself; DeliveryError when its variable or file is not there, or others can read the file."""
    if written.startswith("$"):
        found = os.environ.get(written[1:], "").strip()
        if not found:
            raise DeliveryError(f"the environment has no `{written[1:]}`", hint=f"export {written[1:]}=...")
    elif written.startswith(_FILE):
        found = _secret(root / written.removeprefix(_FILE))
    else:
        found = written
    if _split(found) is None:
        raise DeliveryError(f"what `{name_of(written)}` holds is not an address", hint=_HINT)
    return found


def missing(root: Path, written: str) -> str | None:
    """Why this machine does not know the address; None when it does."""
    try:
        address_of(root, written)
    except DeliveryError as problem:
        return problem.message
    return None


def hide(text: str, address: str) -> str:
    """A text without the address, and without the parts of it that may be secrets."""
    pieces = {address, *re.split(r"[:/@?&=#]", address.partition("://")[2])}
    pieces |= {unquote(piece) for piece in pieces}
    for piece in sorted((p for p in pieces if len(p) > 3), key=len, reverse=True):
        text = text.replace(piece, "***")
    return text


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        _ = parts.port if parts.scheme in WEB else None
    except ValueError:
        return None
    return parts if parts.scheme and "://" in address and (parts.netloc or parts.path) else None


def _secret(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise DeliveryError(f"others can read `{path.name}`", where=str(path), hint=f"chmod 600 {path}")
        return path.read_text().strip()
    except (OSError, ValueError) as problem:
        told = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise DeliveryError(f"`{path.name}` cannot be read: {told}", where=str(path)) from None


_HINT = 'write "$TEAM_SLACK", "file:/run/secrets/slack", "https://ops.example.com/hook" or "mailto://host?to=..."'
