"""Every error keepfit raises on purpose.

KeepfitError
├── UsageError            a command or call that cannot mean anything
├── ProjectError          keepfit.toml or the user's functions do not fit together
├── DataError             data that cannot be read, or breaks its contract
│   ├── ContractBroken    rows that do not keep what the project promises of them
│   └── NotEnoughData     nothing to learn from, or nothing to judge by, yet
├── UserCodeError         a function of the user's raised, or gave back something unusable
├── StoreError            ledger or objects cannot be read or written
│   ├── NameMoved         someone else moved the name first
│   └── DamagedObject     bytes that no longer match their digest
├── NotFound              no such run, model, release, prediction ...
├── PackageError          a package that is damaged, unsigned or does not reproduce its golden rows
├── DeliveryError         a message did not reach a channel
├── ServingError          the endpoint cannot start, or does not answer
└── Refused               the answer is no: a gate failed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KeepfitError(Exception):
    """The root: what happened, where, and the command that helps.

    `code` names the class of error; each has a section in docs/errors.md.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.where:
            lines.append(f"  at {self.where}")
        if self.hint:
            lines += ["", f"hint: {self.hint}"]
        return "\n".join(lines)


class UsageError(KeepfitError):
    code = "usage"
    exit_code = 2


class ProjectError(KeepfitError):
    code = "project"


class DataError(KeepfitError):
    code = "data"


class ContractBroken(DataError):
    code = "contract-broken"


class NotEnoughData(DataError):
    code = "not-enough-data"


class UserCodeError(KeepfitError):
    code = "user-code"


class StoreError(KeepfitError):
    code = "store"


class NameMoved(StoreError):
    code = "name-moved"


class DamagedObject(StoreError):
    code = "damaged-object"


class NotFound(KeepfitError):
    code = "not-found"


class PackageError(KeepfitError):
    code = "package"


class DeliveryError(KeepfitError):
    code = "delivery"


class ServingError(KeepfitError):
    code = "serving"


class Refused(KeepfitError):
    code = "refused"
    exit_code = 3


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the nearest known words, or all of them when none is near and they are few."""
    choices = sorted(set(known))
    near = difflib.get_close_matches(word, choices, n=2, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"`{visible(c)}`" for c in near) + "?"
    if choices and len(choices) <= 20:
        return "known: " + ", ".join(f"`{visible(c)}`" for c in choices)
    return None


def visible(text: str) -> str:
    """The text with what a terminal does not show, such as an end of line, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
