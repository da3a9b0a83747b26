"""What a command has to say: a value for programs, the same as text for people, and an exit code."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple


class Report(NamedTuple):
    """The end of a command."""

    value: Any
    """What `--json` prints."""
    text: str
    exit_code: int = 0


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Columns of text under their heads; the columns numbered in `right` are aligned to the right."""
    cells = [[str(c) for c in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *cells]) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        shown = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        return "  ".join(shown).rstrip()

    return "\n".join([line(head), line(["-" * w for w in widths]), *(line(row) for row in cells)])


class Progress:
    """One line on the terminal that changes; nothing at all when nobody is watching."""

    def __init__(self) -> None:
        self.watched = sys.stderr.isatty()
        self._shown = False

    def show(self, text: str) -> None:
        """Replace the line."""
        if self.watched:
            width = shutil.get_terminal_size().columns - 1  # a line that wraps is not taken back by \r
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def note(self, text: str) -> None:
        """Leave a line that stays; also when not on a terminal."""
        with contextlib.suppress(OSError):  # the terminal may be gone, and what is told of must go on
            self.clear()
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the changing line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False
