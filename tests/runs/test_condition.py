"""Conditions as people write them, and what is said of those that make no sense."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.core.errors import UsageError
from keepfit.ledger import Combined, Where
from keepfit.runs.condition import parse
from keepfit.testing.queries import conditions, meets

_SHAPES = {"all": " and ", "any": " OR "}


def quoted(value: float | str) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def written(condition: Where | Combined, chance: random.Random) -> str:
    """A condition as a person may write it."""
    if isinstance(condition, Where):
        return f"`{condition.attribute}` {condition.is_} {quoted(condition.value)}"
    if not condition.conditions:  # there is no word for it
        return "(x = 1 or not x = 1)" if condition.is_ != "any" else "(x = 1 and not x = 1)"
    first = condition.conditions[0]
    if condition.is_ == "none" and len(condition.conditions) == 1 and isinstance(first, Where):
        if first.is_ == "like":
            return f"`{first.attribute}` NOT LIKE {quoted(first.value)}"
        if first.is_ == "=" and chance.random() < 0.5:
            return f"`{first.attribute}` not in ({quoted(first.value)})"
    inner = _SHAPES.get(condition.is_, " or ").join(f"({written(one, chance)})" for one in condition.conditions)
    return f"not ({inner})" if condition.is_ == "none" else inner


@settings(max_examples=300)
@given(
    st.lists(conditions, min_size=1, max_size=3),
    st.lists(st.dictionaries(st.sampled_from(["loss", "rate", "x"]), st.sampled_from([1.0, 0.1, "a", "ab", "é"]))),
    st.randoms(use_true_random=False),
)
def test_what_is_written_is_what_is_asked(
    asked: list[Where | Combined], facts: list[dict[str, float | str]], chance: random.Random
) -> None:
    whole = Combined("all", tuple(asked))
    parsed = Combined("all", parse(written(whole, chance)))
    assert [meets(fact, parsed) for fact in facts] == [meets(fact, whole) for fact in facts]


def test_the_forms_there_are() -> None:
    found = parse("""auc>0.7 and metrics.loss <= -1e-3 and "a b" == 'it''s' and deep = true and data.x <> "v" """)
    assert found == (
        Where("auc", ">", 0.7),
        Where("metrics.loss", "<=", -0.001),
        Where("a b", "=", "it's"),
        Where("deep", "=", "true"),
        Where("data.x", "!=", "v"),
    )
    assert parse("a > 1 or not (b = 'x' and c < 2)") == (
        Combined(
            "any",
            (
                Where("a", ">", 1.0),
                Combined("none", (Combined("all", (Where("b", "=", "x"), Where("c", "<", 2.0))),)),
            ),
        ),
    )
    assert parse("`or` in (1, 'two') and kind not like 'tree%'") == (
        Combined("any", (Where("or", "=", 1.0), Where("or", "=", "two"))),
        Combined("none", (Where("kind", "like", "tree%"),)),
    )
    assert parse("a = 1 or b = 2 and c = 3") == parse("a = 1 or (b = 2 and c = 3)")


@pytest.mark.parametrize(
    ("text", "told", "column"),
    [
        ("", "a name is expected", 0),
        ("auc", "a comparison is expected", 3),
        ("auc >", "a number, or text in quotes", 5),
        ("auc > and x < 1", "a number, or text in quotes", 6),
        ("auc > 0.7 or", "a name is expected", 12),
        ("auc > 0.7 x < 1", "`and` or `or` is expected", 10),
        ("(auc > 0.7 x < 1)", "`and`, `or` or `)` is expected", 11),
        ("(auc > 0.7", "`and`, `or` or `)` is expected", 10),
        ("auc > 0.7)", "`and` or `or` is expected", 9),
        ("()", "a name is expected", 1),
        ("not", "a name is expected", 3),
        ("auc not 1", "`in` or `like` is expected", 8),
        ("auc in 1", "`(` is expected", 7),
        ("auc in ()", "a number, or text in quotes", 8),
        ("auc in (1, 2", "`,` or `)` is expected", 12),
        ("auc in (1 2)", "`,` or `)` is expected", 10),
        ("kind like 5", "text in quotes is expected", 10),
        ("like > 1", "a name is expected", 0),
        ("(" * 50 + "auc > 1" + ")" * 50, "nested too deep", 40),
        ("auc in (" + "1," * 600 + "1)", "more than 500", 1008),
        ("auc > 0.7 and", "a name is expected", 13),
        ("'auc' > 1", "a name is expected", 0),
        ("auc => 1", "a number, or text in quotes", 5),
        ("auc > 1e999", "too large", 6),
        ("auc > 0.7.1", "a number, or text in quotes", 6),
        ("kind = 'l2", "a number, or text in quotes", 7),
        ("auc ; drop", "a comparison is expected", 4),
    ],
)
def test_what_makes_no_sense_is_told_where(text: str, told: str, column: int) -> None:
    with pytest.raises(UsageError, match=re.escape(told)) as caught:
        parse(text)
    assert caught.value.message.splitlines()[-1] == "  " + " " * column + "^"


@given(st.text())
def test_any_text_gives_conditions_or_an_error(text: str) -> None:
    try:
        parse(text)
    except UsageError as problem:
        assert "^" in problem.message
