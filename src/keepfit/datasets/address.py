"""Addresses of databases, and the secrets in them that nobody is to see."""

from __future__ import annotations

import re
from urllib.parse import unquote

DATABASES = ("sqlite", "duckdb", "postgresql", "postgres")
"""The schemes of databases that can be asked."""
_LOGIN = re.compile(r"(://[^/@:]*):([^/]*)@")
_SETTING = re.compile(r"((?:ssl)?password=)([^&\s]+)")


def hidden(address: str) -> str:
    """The address without the passwords in it."""
    return _SETTING.sub(r"\1***", _LOGIN.sub(r"\1@", address))


def hide(text: str, address: str) -> str:
    """A text without the address, and without the passwords in it."""
    text = text.replace(address, hidden(address))
    secrets = [m[2] for pattern in (_LOGIN, _SETTING) for m in pattern.finditer(address)]
    parts = [part for found in secrets for part in (found, *found.split("@"))]  # a stray @ ends up in other places
    for secret in sorted({s for part in parts for s in (part, unquote(part)) if s}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
