"""Conditions on runs as people write them: `auc > 0.7 and (kind = 'linear' or not rate in (0.1, 0.2))`.

either     = both ("or" both)*
both       = one ("and" one)*
one        = "not" one | "(" either ")" | NAME COMPARISON VALUE
           | NAME ["not"] "in" "(" VALUE ("," VALUE)* ")" | NAME ["not"] "like" TEXT
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, cast

import msgspec

from keepfit.core.errors import UsageError
from keepfit.ledger import Combined, Where
from keepfit.ledger.fact import Comparison

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))"
    r"|(?P<name>[^\W\d][\w./-]*)"
    r"|(?P<quoted>`[^`]*`|\"[^\"]*\"|'(?:[^']|'')*')"
    r"|(?P<comparison><=|>=|!=|<>|==|=|<|>)"
    r"|(?P<other>\S))"
)
_SAME = {"==": "=", "<>": "!="}
_WORDS = ("and", "or", "not", "in", "like")
_HINT = "write NAME COMPARISON VALUE, such as: auc > 0.7 and (kind = 'linear' or kind like 'tree%')"
_DEEPEST = 40
"""Parentheses and `not`s within one another."""
_MOST = 500
"""Comparisons."""

Condition = Where | Combined


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """What it is in the grammar: a word or sign; else its kind."""
        if self.kind == "name" and self.text.lower() in _WORDS:
            return self.text.lower()
        return self.text if self.kind == "other" else self.kind


def parse(text: str, resolve: Callable[[str], str] = str) -> tuple[Condition, ...]:
    """The conditions, all of which must hold; `resolve` gives the attribute that a name means.

    A name is a word, or anything between backticks or double quotes; a value is a number or
    text in quotes. UsageError with a caret below the place that makes no sense, and what
    `resolve` raises, likewise placed.
    """
    found = _Parser(text, resolve).whole()
    return found.conditions if isinstance(found, Combined) and found.is_ == "all" else (found,)


class _Parser:
    def __init__(self, text: str, resolve: Callable[[str], str]) -> None:
        self._text = text
        self._resolve = resolve
        found = [
            _Token(m.lastgroup or "", m[m.lastgroup or 0], m.start(m.lastgroup or 0)) for m in _TOKEN.finditer(text)
        ]
        self._tokens = [*found, _Token("end", "", len(text.rstrip()))]
        self._at = self._depth = self._count = 0

    def whole(self) -> Condition:
        found = self._either()
        if self._next.kind != "end":
            raise self._misplaced("`and` or `or` is expected here")
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *words: str) -> _Token | None:
        """The next token, if it is one of these."""
        token = self._next
        if token.word not in words:
            return None
        self._at += 1
        return token

    def _either(self) -> Condition:
        return self._chain("any", "or", lambda: self._chain("all", "and", self._one))

    def _chain(self, is_: Literal["all", "any"], word: str, part: Callable[[], Condition]) -> Condition:
        found = [part()]
        while self._take(word):
            found.append(part())
        return found[0] if len(found) == 1 else Combined(is_, tuple(found))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._misplaced("this is nested too deep")
        if self._take("not"):
            found: Condition = Combined("none", (self._one(),))
        elif self._take("("):
            found = self._either()
            if not self._take(")"):
                raise self._misplaced("`and`, `or` or `)` is expected here")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Condition:
        name = self._next
        if name.word not in ("name", "quoted") or name.text.startswith("'"):
            raise self._misplaced("a name is expected here")
        self._at += 1
        try:
            attribute = self._resolve(_bare(name))
        except UsageError as problem:
            raise self._misplaced(problem.message, problem.hint, name) from problem
        if sign := self._take("comparison"):
            return self._where(attribute, cast(Comparison, _SAME.get(sign.text, sign.text)))
        negated = self._take("not")
        if self._take("like"):
            if self._next.kind != "quoted":
                raise self._misplaced("text in quotes is expected here, with % for any text and _ for any character")
            found: Condition = self._where(attribute, "like")
        elif self._take("in"):
            found = self._list(attribute)
        else:
            words = "`in` or `like` is" if negated else "a comparison is"
            raise self._misplaced(f"{words} expected here" + ("" if negated else ": = != < <= > >= in like"))
        return Combined("none", (found,)) if negated else found

    def _list(self, attribute: str) -> Combined:
        if not self._take("("):
            raise self._misplaced("`(` is expected here, then values with commas between them")
        found = [self._where(attribute, "=")]
        while self._take(","):
            found.append(self._where(attribute, "="))
        if not self._take(")"):
            raise self._misplaced("`,` or `)` is expected here")
        return Combined("any", tuple(found))

    def _where(self, attribute: str, is_: Comparison) -> Where:
        value = self._next
        self._count += 1
        if self._count > _MOST:
            raise self._misplaced(f"these are more than {_MOST} values")
        if value.kind not in ("number", "quoted") and value.text.lower() not in ("true", "false"):
            raise self._misplaced("a number, or text in quotes, is expected here")
        self._at += 1
        if value.kind != "number":
            return Where(attribute, is_, _bare(value) if value.kind == "quoted" else value.text.lower())
        number = float(value.text)
        if number in (float("inf"), float("-inf")):
            raise self._misplaced("this number is too large", token=value)
        return Where(attribute, is_, number)

    def _misplaced(self, told: str, hint: str | None = None, token: _Token | None = None) -> UsageError:
        line = "".join(c if c.isprintable() else " " for c in self._text)
        return UsageError(f"{told}\n  {line}\n  {' ' * (token or self._next).at}^", hint=hint or _HINT)


def _bare(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    inner = token.text[1:-1]
    return inner.replace("''", "'") if token.text[0] == "'" else inner
