"""Which objects facts need: the one answer that push, pull, verify and gc share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from keepfit.core.digests import canonical
from keepfit.core.errors import DamagedObject, NotFound
from keepfit.datasets.tree import read_manifest
from keepfit.ledger import Fact, Ledger
from keepfit.objects import Objects

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_WHOLE = re.compile(r"[0-9a-f]{64}")
_PAGE = 5000
_TREE = "tree"
"""The role of a reference to a tree of files."""


class Needs:
    """Objects that facts need, gathered fact by fact."""

    def __init__(self, objects: Objects) -> None:
        self.by: dict[str, list[str]] = {}
        """Digest -> ids of the facts that need it; what several trees share is told of the first."""
        self.unlisted: set[str] = set()
        """Trees that cannot be read here: what they list is not known."""
        self._objects = objects
        self._listed: set[str] = set()

    def add(self, facts: Iterable[Fact], digests: Callable[[Fact], set[str]] | None = None) -> Needs:
        """Add what these facts need, by `needed` or another rule."""
        for fact in facts:
            for digest in (digests or needed)(fact):
                self.by.setdefault(digest, []).append(fact.id)
            if tree := fact.refs.get(_TREE):
                self._add_tree(tree, fact.id)
        return self

    def again(self) -> Needs:
        """Try once more to list the trees that could not be read."""
        todo, self.unlisted = self.unlisted, set()
        self._listed -= todo
        for tree in todo:
            self._add_tree(tree, self.by[tree][0])
        return self

    def _add_tree(self, root: str, id: str) -> None:
        todo = [root]
        while todo:
            if (digest := todo.pop()) in self._listed:
                continue
            self._listed.add(digest)
            try:
                entries = read_manifest(self._objects, digest)
            except (NotFound, DamagedObject):
                self.unlisted.add(digest)
                continue
            for entry in entries:
                self.by.setdefault(entry.digest, []).append(id)
                if entry.kind == "folder":
                    todo.append(entry.digest)


def facts(ledger: Ledger, after: int = 0) -> Iterator[tuple[int, Fact]]:
    """Every fact with a number above `after`, and its number, in the order they were recorded."""
    while page := ledger.history(after, _PAGE):
        for entry in page:
            yield entry.number, entry.fact
        after = page[-1].number


def named(fact: Fact) -> set[str]:
    """Every digest that is written anywhere in a fact: what must not be freed."""
    return {found.decode() for found in _DIGEST.findall(canonical([fact.body, fact.refs, fact.attributes]))}


def needed(fact: Fact) -> set[str]:
    """The objects that a fact cannot do without: digests among its refs, and in the tables and lists of its body.

    A digest that stands in the body by itself is that of a value, such as the key of a run.
    """
    tables = [value for value in fact.body.values() if not isinstance(value, str)]
    return {text for text in _texts([tables, fact.refs]) if _WHOLE.fullmatch(text)}


def words(fact: Fact) -> str:
    """What a fact is in the user's words: `model delay@3`, `run delay of 2013-05-02 12:00`."""
    name = fact.subject.partition("/")[2] or fact.subject
    number = fact.body.get("version", fact.body.get("number"))
    return f"{fact.kind} {name}@{number}" if number else f"{fact.kind} {name} of {fact.time:%Y-%m-%d %H:%M}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
