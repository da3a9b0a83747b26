"""What a step was computed on: evidence for the day a result does not come out the same."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from typing import Any

import msgspec

from keepfit.runs.environment import Change

_FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")
"""Of the processor: libraries choose their code by these, and another order of additions gives other last bits."""


LEFT = "machine.json"
"""The file in which a step's process tells of its machine."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """As the process that computed saw it."""

    cpu: str
    features: list[str]
    cores: int
    libc: str
    blas: list[str]
    """Loaded BLAS and OpenMP libraries: name, version, the kind of core chosen, threads."""
    modules: list[str]
    """Top-level names of what had been imported, beyond Python's own library."""


def machine() -> Machine:
    """This machine, as this process uses it."""
    cpu, flags = _processor()
    return Machine(
        cpu=cpu,
        features=[f for f in _FEATURES if f in flags],
        cores=os.cpu_count() or 0,
        libc=" ".join(platform.libc_ver()).strip(),
        blas=_blas(),
        modules=sorted({n.partition(".")[0] for n in list(sys.modules)} - sys.stdlib_module_names - {"__main__"}),
    )


def machine_diff(before: Machine, after: Machine) -> list[Change]:
    """What of two machines differs in a way that can change the bits of a result."""
    changes = []
    for field in ("cpu", "features", "libc", "blas"):
        old, new = (_text(getattr(m, field)) for m in (before, after))
        if old != new:
            changes.append(Change(field, old or None, new or None))
    return changes


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _processor() -> tuple[str, frozenset[str]]:
    """Name and flags of the processor, as far as the system tells."""
    told: dict[str, str] = {}
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                break
            key, _, value = line.partition(":")
            told[key.strip()] = value.strip()
    flags = told.get("flags") or told.get("Features") or ""
    return told.get("model name") or platform.processor() or platform.machine(), frozenset(flags.split())


def _blas() -> list[str]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    loaded: list[dict[str, Any]] = threadpool_info()
    words = ("internal_api", "version", "architecture", "num_threads")
    return sorted({" ".join(str(one[w]) for w in words if one.get(w)) for one in loaded})
