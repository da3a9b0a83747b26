"""The versions of a dataset in the order in which it was them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from keepfit.core.errors import NotFound, did_you_mean
from keepfit.datasets.tree import Change as FileChange
from keepfit.datasets.version import DataVersion, subject_of, version_of, versioned
from keepfit.home import Home
from keepfit.ledger import Fact, Query


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset became this version."""

    version: DataVersion
    time: datetime
    actor: str
    changed: dict[FileChange, int]
    """How many files differ from what it was before."""
    back: bool = False
    """Whether it had been this version before."""
    newest: bool = False
    """Whether the dataset still is it."""


def history(home: Home, name: str | None = None) -> list[Change]:
    """What a dataset was, newest first; of all datasets without a name. NotFound when it was never versioned."""
    names = versioned(home)
    if name is not None and name not in names:
        raise NotFound(f"`{name}` has no version", hint=did_you_mean(name, names) or f"keepfit data add {name}")
    return [change for n in ([name] if name else names) for change in _history(home, n)]


def _history(home: Home, name: str) -> list[Change]:
    facts = home.ledger.find(Query(subject=subject_of(name), limit=1_000_000))
    versions = {f.id: version_of(f) for f in facts if f.kind == "data"}
    current = home.ledger.name(subject_of(name))
    found = [_change(f, versions) for f in facts if f.kind in ("data", "return")]
    newest = next((i for i, c in enumerate(found) if c.version.id == current), None)
    return [msgspec.structs.replace(c, newest=i == newest) for i, c in enumerate(found)]


def _change(found: Fact, versions: Mapping[str, DataVersion]) -> Change:
    if found.kind == "data":
        version = versions[found.id]
        return Change(version=version, time=found.time, actor=found.actor, changed=version.changed)
    counts = msgspec.convert(found.body["changed"], dict[FileChange, int])
    version = versions[found.refs["version"]]
    return Change(version=version, time=found.time, actor=found.actor, changed=counts, back=True)
