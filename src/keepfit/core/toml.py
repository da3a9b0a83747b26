"""TOML with positions: what the file says, and where it says it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepfit.core.errors import ProjectError

Key = tuple[str | int, ...]
"""The way to a value: the keys of the tables and the numbers (from 0) of the array items around it."""

_SPACE = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes may stand right before the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}#\n]*")
_AT_LINE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True)
class Document:
    """A TOML file's data, and the place of every key in it."""

    data: dict[str, Any]
    places: Mapping[Key, tuple[int, int]]
    text: str = ""

    def position(self, key: Key) -> tuple[int, int]:
        """Line and column, from 1, of a key or array item; of the nearest thing around it when it is not there."""
        while key not in self.places:
            key = key[:-1]
        return self.places[key]


def load(path: Path) -> Document:
    """The document; ProjectError with file:line:column when the file cannot be read or is not TOML."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as problem:
        raise ProjectError(f"cannot read `{path.name}`: {problem.strerror}", where=str(path.parent)) from problem
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        column = problem.start - content.rfind(b"\n", 0, problem.start)
        raise ProjectError(f"`{path.name}` is not UTF-8 text", where=f"{path.name}:{line}:{column}") from problem
    return parse(text, path.name)


def parse(text: str, name: str) -> Document:
    """The document of a text with lines that end in `\\n`; ProjectError naming `name` when it is not TOML."""
    try:
        data = tomllib.loads(text)
        found = _Scanner(text).places()
    except tomllib.TOMLDecodeError as problem:
        raise _syntax_error(text, name, str(problem)) from problem
    except RecursionError as problem:
        raise ProjectError(f"`{name}` is nested too deeply", where=name) from problem
    places: dict[Key, tuple[int, int]] = {(): (1, 1)}
    line, done = 1, 0
    for key, at in sorted(found.items(), key=lambda item: item[1]):
        line += text.count("\n", done, at)
        done = at
        places[key] = (line, at - text.rfind("\n", 0, at))
    return Document(data, places, text)


def _syntax_error(text: str, name: str, message: str) -> ProjectError:
    found = _AT_LINE.search(message)
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    if found and found[1]:
        line, column = int(found[1]), int(found[2])
    what = message[: found.start()] if found else message
    return ProjectError(f"`{name}` is not TOML: {what[:1].lower()}{what[1:]}", where=f"{name}:{line}:{column}")


class _Scanner:
    """Finds where keys stand in a text that tomllib has accepted; it need not doubt the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Key, int] = {}
        self.arrays: dict[Key, int] = {}
        """How many `[[tables]]` of each name there are so far."""

    def places(self) -> dict[Key, int]:
        """Key -> offset of its first mention."""
        table: Key = ()
        while self._skip(_GAP) < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _header(self) -> Key:
        many = self.text.startswith("[[", self.at)
        self.at += 1 + many
        key: Key = ()
        names = self._names()
        for i, (name, at) in enumerate(names):
            key = self._mark((*key, name), at)
            if many and i == len(names) - 1:
                self.arrays[key] = self.arrays.get(key, -1) + 1
            if key in self.arrays:
                key = self._mark((*key, self.arrays[key]), at)
        self.at += 1 + many
        return key

    def _pair(self, table: Key) -> None:
        key = table
        for name, at in self._names():
            key = self._mark((*key, name), at)
        self.at += 1  # =
        self._skip(_SPACE)
        self._value(key)

    def _value(self, key: Key) -> None:
        opening = self.text[self.at]
        if opening == "[":
            for i in self._items("]"):
                self._value(self._mark((*key, i), self.at))
        elif opening == "{":
            for _ in self._items("}"):
                self._pair(key)
        elif opening in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_PLAIN)

    def _items(self, closing: str) -> Iterator[int]:
        """The number of each item, with `at` where the item begins."""
        self.at += 1
        i = 0
        while self.text[self._skip(_GAP)] != closing:
            if self.text[self.at] == ",":
                self.at += 1
            else:
                yield i
                i += 1
        self.at += 1

    def _names(self) -> list[tuple[str, int]]:
        """The parts of a dotted key with their offsets; `at` is then at what follows."""
        names = []
        while True:
            at = self._skip(_SPACE)
            if bare := _BARE.match(self.text, at):
                name, self.at = bare[0], bare.end()
            else:
                name = tomllib.loads(f"key={self.text[at : self._skip(_STRING)]}")["key"]
            names.append((name, at))
            if self.text[self._skip(_SPACE)] != ".":
                return names
            self.at += 1

    def _mark(self, key: Key, at: int) -> Key:
        self.found.setdefault(key, at)
        return key

    def _skip(self, what: re.Pattern[str]) -> int:
        """Go past `what`; gives where that is."""
        match = what.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at
