"""Which part of a project is pushed or pulled."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from keepfit.ledger import Fact

DATA = ("data",)
MODELS = ("model", "release")


class Selection(msgspec.Struct, frozen=True):
    """Subjects such as `data/flights`, or what they begin with, such as `data`; none of them: everything."""

    subjects: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        return not self.subjects

    def takes(self, fact: Fact) -> bool:
        """Whether a fact belongs to it."""
        return self.everything or any(fact.subject == s or fact.subject.startswith(f"{s}/") for s in self.subjects)

    def closed(self, facts: Iterable[Fact]) -> list[Fact]:
        """The facts that belong to it, and those they rest on, in their order."""
        known = list(facts)
        if self.everything:
            return known
        by_id = {fact.id: fact for fact in known}
        todo = [fact for fact in known if self.takes(fact)]
        kept = {fact.id for fact in todo}
        while todo:
            rests_on = [by_id[id] for id in todo.pop().refs.values() if id in by_id and id not in kept]
            kept.update(fact.id for fact in rests_on)
            todo += rests_on
        return [fact for fact in known if fact.id in kept]


EVERYTHING = Selection()
