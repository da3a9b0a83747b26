"""An append-only ledger of facts, and names that move by compare-and-swap."""

from keepfit.ledger.fact import Combined, Entry, Fact, Ledger, Move, Point, Query, Where, fact
from keepfit.ledger.open import open_ledger

__all__ = ["Combined", "Entry", "Fact", "Ledger", "Move", "Point", "Query", "Where", "fact", "open_ledger"]
