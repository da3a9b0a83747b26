"""How much memory: as people write it, as the machine has it, and as a process holds it."""

from __future__ import annotations

import os
import re

from keepfit.core.errors import UsageError

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(rf"\s*(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)}|%)\s*")


def size(text: str) -> int:
    """Bytes of `"500MB"`, `"2GiB"`, or of `"50%"` of the machine's memory; UsageError otherwise."""
    match = _SIZE.fullmatch(text)
    found = int(float(match[1]) * (_machine() / 100 if match[2] == "%" else _UNITS[match[2]])) if match else 0
    if found <= 0:
        raise UsageError(f"`{text}` is not an amount of memory", hint="write a number and a unit: 500MB, 2GB, 50%")
    return found


def held_by(pid: int | str = "self") -> int:
    """Bytes of memory a process holds; 0 where that cannot be told."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
