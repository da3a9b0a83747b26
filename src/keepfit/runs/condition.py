"""Conditions on runs as people write them: `auc > 0.7 and rate < 0.1 and state = 'done'`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import msgspec

from keepfit.core.errors import UsageError
from keepfit.ledger import Where
from keepfit.ledger.fact import Comparison

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))"
    r"|(?P<name>[^\W\d][\w./-]*)"
    r"|(?P<quoted>`[^`]*`|\"[^\"]*\"|'(?:[^']|'')*')"
    r"|(?P<comparison><=|>=|!=|<>|==|=|<|>)"
    r"|(?P<other>\S))"
)
_SAME = {"==": "=", "<>": "!="}
_HINT = "write NAME COMPARISON VALUE, such as: auc > 0.7 and kind = 'linear'"


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int


def parse(text: str, resolve: Callable[[str], str] = str) -> tuple[Where, ...]:
    """The conditions, all of which must hold; `resolve` gives the attribute that a name means.

    A name is a word, or anything between backticks or double quotes; a value is a number or
    text in quotes. UsageError with a caret below the place that makes no sense, and what
    `resolve` raises, likewise placed.
    """
    tokens = [_Token(m.lastgroup or "", m[m.lastgroup or 0], m.start(m.lastgroup or 0)) for m in _TOKEN.finditer(text)]
    tokens.append(_Token("end", "", len(text.rstrip())))
    found: list[Where] = []
    at = 0
    while True:
        name, sign, value, after = (*tokens[at : at + 4], *[tokens[-1]] * 4)[:4]
        found.append(_condition(text, name, sign, value, resolve))
        if after.kind == "end":
            return tuple(found)
        if after.text.lower() != "and" or after.kind != "name":
            told = "`or` cannot be asked: search twice" if after.text.lower() == "or" else "`and` is expected here"
            raise _misplaced(text, after, told)
        at += 4


def _condition(text: str, name: _Token, sign: _Token, value: _Token, resolve: Callable[[str], str]) -> Where:
    if name.kind not in ("name", "quoted") or name.text.startswith("'"):
        raise _misplaced(text, name, "a name is expected here")
    if sign.kind != "comparison":
        raise _misplaced(text, sign, "a comparison is expected here: = != < <= > >=")
    if value.kind not in ("number", "quoted") and value.text.lower() not in ("true", "false"):
        raise _misplaced(text, value, "a number, or text in quotes, is expected here")
    try:
        attribute = resolve(_bare(name))
    except UsageError as problem:
        raise _misplaced(text, name, problem.message, problem.hint) from problem
    comparison = cast(Comparison, _SAME.get(sign.text, sign.text))
    if value.kind == "number":
        number = float(value.text)
        if number in (float("inf"), float("-inf")):
            raise _misplaced(text, value, "this number is too large")
        return Where(attribute, comparison, number)
    return Where(attribute, comparison, _bare(value) if value.kind == "quoted" else value.text.lower())


def _bare(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    inner = token.text[1:-1]
    return inner.replace("''", "'") if token.text[0] == "'" else inner


def _misplaced(text: str, token: _Token, told: str, hint: str | None = None) -> UsageError:
    line = "".join(c if c.isprintable() else " " for c in text)
    return UsageError(f"{told}\n  {line}\n  {' ' * token.at}^", hint=hint or _HINT)
