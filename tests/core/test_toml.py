"""Positions in TOML: found for every key, however it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.core.errors import ProjectError
from keepfit.core.toml import Document, Key, load, parse

TEXT = """\
# a comment with [brackets] and = signs
model = "delay"  # trailing
"quoted key".'literal . key' = 'a = 1 # no comment'

[data.flights]
from  = '''
[not.a.header]
x = 1''''
tailnum.type = "text"
late = { type = "bool", role = "label", nested = { deep = [1, { x = 2 }] } }

[[steps]]
name = "a"
[steps.more]
y = 1979-05-27 07:32:00
[[steps]]
 [[steps.inner]]
 z = [
   1,  # one ]
   "two",
 ]
"""


def test_every_form_of_key_is_found() -> None:
    document = parse(TEXT, "x.toml")
    expected = {
        ("model",): (2, 1),
        ("quoted key",): (3, 1),
        ("quoted key", "literal . key"): (3, 14),
        ("data",): (5, 2),
        ("data", "flights"): (5, 7),
        ("data", "flights", "from"): (6, 1),
        ("data", "flights", "tailnum"): (9, 1),
        ("data", "flights", "tailnum", "type"): (9, 9),
        ("data", "flights", "late", "role"): (10, 25),
        ("data", "flights", "late", "nested", "deep", 1, "x"): (10, 65),
        ("steps", 0): (12, 3),
        ("steps", 0, "more", "y"): (15, 1),
        ("steps", 1, "inner", 0): (17, 10),
        ("steps", 1, "inner", 0, "z", 1): (20, 4),
    }
    assert {key: document.position(key) for key in expected} == expected
    assert set(document.places) == set(_keys(document.data)) | {()}


def test_what_is_not_there_is_placed_at_what_is_around_it() -> None:
    document = parse(TEXT, "x.toml")
    assert document.position(("data", "flights", "late", "typ")) == (10, 1)
    assert document.position(("nothing", "at", "all")) == (1, 1)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1\nb = = 2\n", "bad.toml:2:5"),
        ("a = 1\na = 2\n", "bad.toml:2:6"),
        ("a = 1\n[b", "bad.toml:2:3"),
        ('s = "open', "bad.toml:1:10"),
    ],
)
def test_a_syntax_error_says_where(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ProjectError, match="is not TOML") as caught:
        load(path)
    assert caught.value.where == where


def test_bytes_that_are_not_text_are_an_error_with_a_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b'a = 1\nb = "\xff"\n')
    with pytest.raises(ProjectError, match="UTF-8") as caught:
        load(path)
    assert caught.value.where == "bad.toml:2:6"
    with pytest.raises(ProjectError, match="cannot read"):
        load(tmp_path / "missing.toml")


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    with pytest.raises(ProjectError, match="nested"):
        parse("a = " + "[" * 100_000, "deep.toml")


def test_windows_line_ends_and_byte_order_mark_do_not_shift_positions(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    document = load(path)
    assert document.data == {"a": 1, "b": 2}
    assert [document.position((key,)) for key in "ab"] == [(1, 1), (2, 1)]


def _keys(value: Any, key: Key = ()) -> list[Key]:
    """Every key of the data, through tables and arrays."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [k for name, inner in below for k in [(*key, name), *_keys(inner, (*key, name))]]


NAMES = st.one_of(
    st.text("abz09_-", min_size=1, max_size=4),
    st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=5),
)
STRINGS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=8)
SCALARS = st.one_of(st.integers(-(2**60), 2**60), st.booleans(), st.floats(allow_nan=False), STRINGS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=4)
PADS = st.sampled_from(["", " ", "\t", "  "])
GAPS = st.sampled_from(["", "\n", " ", "\n# [x] = ' \"\n", " # y = {\n  "])


class Writer:
    """Writes data as TOML in a style drawn by chance, noting where it puts each key."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.text = ""
        self.places: dict[Key, tuple[int, int]] = {(): (1, 1)}

    def mark(self, key: Key) -> None:
        line = self.text.count("\n") + 1
        self.places.setdefault(key, (line, len(self.text) - self.text.rfind("\n")))

    def table(self, table: dict[str, Any], key: Key = ()) -> None:
        plain = {n: v for n, v in table.items() if not self.as_section(v)}
        for name, value in plain.items():
            self.pair(name, value, key)
            self.text += self.draw(st.sampled_from(["\n", " # z = 1\n", "\n\n"]))
        for name, value in table.items():
            if name not in plain and isinstance(value, dict):
                self.header("[", "]", (*key, name), value, key)
            elif name not in plain:
                for i, item in enumerate(value):
                    self.header("[[", "]]", (*key, name, i), item, key)

    def as_section(self, value: Any) -> bool:
        if isinstance(value, list):
            return bool(value) and all(isinstance(v, dict) for v in value) and self.draw(st.booleans())
        return isinstance(value, dict) and self.draw(st.booleans())

    def header(self, opening: str, closing: str, key: Key, value: dict[str, Any], outer: Key) -> None:
        self.text += opening
        names = [n for n in key if isinstance(n, str)]
        for i, name in enumerate(names):
            self.text += self.draw(PADS)
            if i == len(names) - 1:
                self.mark(tuple(key[: len(outer) + 1]))
                self.mark(key)
            self.text += self.name(name) + self.draw(PADS) + ("." if i < len(names) - 1 else "")
        self.text += closing + "\n"
        self.table(value, key)

    def pair(self, name: str, value: Any, key: Key) -> None:
        self.mark((*key, name))
        self.text += self.name(name) + self.draw(PADS)
        if isinstance(value, dict) and len(value) == 1 and self.draw(st.booleans()):
            ((inner, below),) = value.items()
            self.text += "." + self.draw(PADS)
            self.pair(inner, below, (*key, name))
            return
        self.text += "=" + self.draw(PADS)
        self.value(value, (*key, name))

    def name(self, name: str) -> str:
        bare = name.isascii() and name != "" and all(c.isalnum() or c in "_-" for c in name)
        if bare and self.draw(st.booleans()):
            return name
        return self.quoted(name, multiline=False)

    def quoted(self, text: str, *, multiline: bool = True) -> str:
        forms = [json.dumps(text, ensure_ascii=False)]
        if not any(c in text for c in "'\n\r") and all(c == "\t" or c >= " " for c in text):
            forms.append(f"'{text}'")
        if multiline and "\\" not in text and '"""' not in text and all(c in "\t\n" or c >= " " for c in text):
            forms.append(f'"""\n{text}"""')
        if multiline and "'''" not in text and all(c in "\t\n" or c >= " " for c in text):
            forms.append(f"'''\n{text}'''")
        return self.draw(st.sampled_from(forms))

    def value(self, value: Any, key: Key) -> None:
        if isinstance(value, dict):
            self.text += "{"
            for i, (name, inner) in enumerate(value.items()):
                self.text += ("," if i else "") + self.draw(PADS)
                self.pair(name, inner, key)
            self.text += self.draw(PADS) + "}"
        elif isinstance(value, list):
            self.text += "["
            for i, inner in enumerate(value):
                self.text += self.draw(GAPS)
                self.mark((*key, i))
                self.value(inner, (*key, i))
                self.text += self.draw(GAPS) + ","
            self.text += self.draw(GAPS) + "]"
        elif isinstance(value, str):
            self.text += self.quoted(value)
        else:
            self.text += str(value).lower()


@given(TABLES, st.data())
def test_positions_are_where_the_keys_were_written(table: dict[str, Any], data: st.DataObject) -> None:
    writer = Writer(data)
    writer.table(table)
    document: Document = parse(writer.text, "x.toml")
    assert document.data == table
    assert dict(document.places) == writer.places
