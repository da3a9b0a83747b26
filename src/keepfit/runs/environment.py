"""What a run runs in: interpreter, platform and packages, each by name, version and what is really installed.

Part of a run's key is not everything that is installed, but what the run can need: keepfit, the
packages that its code imports (read from the code, not run), and all that those require by their
own metadata, with what libraries are known to use beside them when it is there. So a new linter
beside it does not train every model anew, and another build of numpy does. A package that code
reaches only by a computed name is not seen: import it somewhere by name. The complete list is
kept beside the run as evidence, and rebuilt by `keepfit reproduce`.
"""

from __future__ import annotations

import ast
import functools
import platform
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from keepfit.core.digests import digest_value, short
from keepfit.core.errors import DamagedObject
from keepfit.objects import Objects, read
from keepfit.runs.installed import Installed, installed

CACHE = "cache/installed.json"
"""Below the home's folder: what was read of the packages."""

_BESIDE: dict[str, tuple[str, ...]] = {
    "scikit-learn": ("skops",),
    "lightgbm": ("scikit-learn", "pandas"),
    "xgboost": ("scikit-learn", "pandas"),
    "xgboost-cpu": ("scikit-learn", "pandas"),
    "pandas": ("pyarrow",),
}
"""What a library, or keepfit with it, also uses where it is installed, though it does not require it."""


class Package(msgspec.Struct, frozen=True):
    """One installed package."""

    version: str
    digest: str
    """Of what is installed, whoever installed it; empty where there is no record of it."""

    def __str__(self) -> str:
        return f"{self.version} ({short(self.digest)})" if self.digest else self.version


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a run's key: another environment is another run."""

    python: str
    implementation: str
    platform: str
    packages: dict[str, Package]

    @property
    def digest(self) -> str:
        return digest_value(self)


class Change(msgspec.Struct, frozen=True):
    """Something that is otherwise in one environment than in another."""

    name: str
    before: str | None
    """None: it was not there."""
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} {self.after} added"
        if self.after is None:
            return f"{self.name} {self.before} removed"
        return f"{self.name} {self.before} -> {self.after}"


def environment(code: Iterable[bytes] = (), *, cache: Path | None = None) -> Environment:
    """This process's environment, as far as the files of Python `code` can need it."""
    found = installed(cache)
    names = needed(found, frozenset(m for text in code for m in imported(text)))
    return _environment({name: found[name] for name in sorted(names)})


def complete(*, cache: Path | None = None) -> Environment:
    """This process's environment with everything that is installed."""
    return _environment(installed(cache))


def environment_diff(before: Environment, after: Environment) -> list[Change]:
    """What was added, removed or changed, interpreter and platform first, then packages by name.

    The same version with other content is a change too: its digests tell.
    """
    changes = []
    for field in ("python", "implementation", "platform"):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            changes.append(Change(field, old, new))
    for name in sorted(before.packages.keys() | after.packages.keys()):
        was, now = before.packages.get(name), after.packages.get(name)
        if was and now and was.version != now.version:
            changes.append(Change(name, was.version, now.version))
        elif was != now:
            changes.append(Change(name, str(was) if was else None, str(now) if now else None))
    return changes


def read_environment(objects: Objects, digest: str) -> Environment:
    """The environment kept as this object; DamagedObject when it cannot be understood."""
    try:
        return msgspec.json.decode(read(objects, digest), type=Environment)
    except msgspec.MsgspecError as problem:
        raise DamagedObject(f"`{short(digest)}` does not describe an environment: {problem}") from problem


def needed(found: Mapping[str, Installed], modules: Iterable[str]) -> set[str]:
    """The distributions that keepfit and code importing these top-level modules can need."""
    wanted = set(modules)
    todo = [("keepfit", ""), *((n, "") for n, d in found.items() if not wanted.isdisjoint(d.modules))]
    seen: set[tuple[str, str]] = set()
    while todo:
        name, extra = todo.pop()
        if name in found and (name, extra) not in seen:
            seen.add((name, extra))
            todo += [(beside, "") for beside in _BESIDE.get(name, ())]
            for r in found[name].requires:
                if r.when in ("", extra):
                    todo += [(r.name, e) for e in ["", *r.extras]]
    return {name for name, _ in seen}


@functools.lru_cache(maxsize=4096)
def imported(text: bytes) -> frozenset[str]:
    """Top-level names of all modules that a file of Python imports, wherever in it; none for one that is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(a.name.partition(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return frozenset(names)


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


def _environment(found: Mapping[str, Installed]) -> Environment:
    return Environment(
        python=platform.python_version(),
        implementation=sys.implementation.name,
        platform=f"{sys.platform}-{platform.machine()}",
        packages={name: Package(d.version, d.digest) for name, d in found.items()},
    )
