"""What a run runs in: interpreter, platform and installed packages."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys

import msgspec

from keepfit.core.digests import digest_value

_INSTALLED = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.(?:dist-info|egg-info)$")


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a run's key: another environment is another run."""

    python: str
    platform: str
    packages: dict[str, str]

    @property
    def digest(self) -> str:
        return digest_value(self)


@functools.cache
def environment() -> Environment:
    """This process's environment, read from the names of what is installed (no file is opened)."""
    found: dict[str, str] = {}
    for folder in reversed(sys.path):
        if folder and os.path.isdir(folder):
            for entry in os.listdir(folder):
                if match := _INSTALLED.match(entry):
                    found[re.sub(r"[-_.]+", "-", match["name"]).lower()] = match["version"]
    return Environment(
        python=platform.python_version(),
        platform=f"{sys.platform}-{platform.machine()}",
        packages=dict(sorted(found.items())),
    )


def pinned(threads: int, seed: int) -> dict[str, str]:
    """The environment variables that make a process repeat itself."""
    count = str(threads)
    return {
        "PYTHONHASHSEED": str(seed % 2**32),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        **{f"{library}_NUM_THREADS": count for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")},
        "POLARS_MAX_THREADS": count,
        "LOKY_MAX_CPU_COUNT": count,
    }
