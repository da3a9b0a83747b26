"""What is kept beside a run and is no part of its key: version control, the whole environment, the machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from keepfit.core.digests import canonical
from keepfit.home import Home
from keepfit.runs.code import Snapshot, snapshot
from keepfit.runs.environment import CACHE, complete, read_environment
from keepfit.runs.installed import installed
from keepfit.runs.machine import LEFT, Machine


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Beside a run."""

    git: Snapshot | None = None
    installed: str = ""
    """Object digest of the environment with everything that was installed."""
    machine: Machine | None = None
    sources: dict[str, str] = {}
    """Package -> object digest of its archive, where no index gives it."""
    beyond: list[str] = []
    """Packages that the process imported though neither the code's imports nor their requirements name them."""

    @property
    def refs(self) -> dict[str, str]:
        """The objects it rests on."""
        kept = {"installed": self.installed, "diff": self.git.diff if self.git else ""}
        sources = {f"source/{name}": digest for name, digest in self.sources.items()}
        return {role: digest for role, digest in kept.items() if digest} | sources


def gather(home: Home, code: Mapping[str, str]) -> Evidence:
    """What there is to say before a run of this code (path -> digest) starts."""
    return Evidence(
        git=snapshot(home.objects, home.root, [*code, "keepfit.toml"]) if code else None,
        installed=home.objects.put(canonical(complete(cache=home.folder / CACHE))),
    )


def completed(evidence: Evidence, home: Home, folder: Path, environment: str) -> Evidence:
    """The same with what the step left in its folder; `environment` is the object digest of the key's own."""
    try:
        found = msgspec.json.decode((folder / LEFT).read_bytes(), type=Machine)
    except (OSError, msgspec.MsgspecError):
        return evidence
    from keepfit.runs.sources import keep_sources  # brings archives, which a run that is known does not need

    modules, named = set(found.modules), read_environment(home.objects, environment).packages
    packages = installed(home.folder / CACHE)
    beyond = [name for name, p in packages.items() if name not in named and not modules.isdisjoint(p.modules)]
    return msgspec.structs.replace(
        evidence,
        machine=msgspec.structs.replace(found, modules=[]),
        sources=keep_sources(home, [packages[n] for n in [*named, *beyond] if n in packages]),
        beyond=beyond,
    )
