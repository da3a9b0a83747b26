"""The port that a command is told to serve at."""

from __future__ import annotations

from keepfit.core.errors import UsageError


def port(text: str) -> int:
    """The number; UsageError when no port has it."""
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise UsageError(f"`{text}` is not a port", hint="--port takes a number from 0 (any free one) to 65535")
    return int(text)
