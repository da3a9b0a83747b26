"""Conditions as people write them, and what is said of those that make no sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.core.errors import UsageError
from keepfit.ledger import Where
from keepfit.runs.condition import parse

_signs = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_texts = st.text(st.characters(blacklist_categories=["Cs"]))


@given(st.lists(st.tuples(st.text("abz_.", min_size=1), _signs, st.one_of(_numbers, _texts)), min_size=1, max_size=4))
def test_what_is_written_is_what_is_asked(conditions: list[tuple[str, str, float | str]]) -> None:
    written = [
        f"`{name}` {sign} " + ("'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value))
        for name, sign, value in conditions
    ]
    assert parse(" AND ".join(written)) == tuple(Where(n, s, v) for n, s, v in conditions)  # type: ignore[arg-type]


def test_the_forms_there_are() -> None:
    found = parse("""auc>0.7 and metrics.loss <= -1e-3 and "a b" == 'it''s' and deep = true and data.x <> "v" """)
    assert found == (
        Where("auc", ">", 0.7),
        Where("metrics.loss", "<=", -0.001),
        Where("a b", "=", "it's"),
        Where("deep", "=", "true"),
        Where("data.x", "!=", "v"),
    )


@pytest.mark.parametrize(
    ("text", "told", "column"),
    [
        ("", "a name is expected", 0),
        ("auc", "a comparison is expected", 3),
        ("auc >", "a number, or text in quotes", 5),
        ("auc > and x < 1", "a number, or text in quotes", 6),
        ("auc > 0.7 or x < 1", "`or` cannot be asked", 10),
        ("auc > 0.7 x < 1", "`and` is expected", 10),
        ("auc > 0.7 and", "a name is expected", 13),
        ("(auc > 1)", "a name is expected", 0),
        ("'auc' > 1", "a name is expected", 0),
        ("auc => 1", "a number, or text in quotes", 5),
        ("auc > 1e999", "too large", 6),
        ("auc > 0.7.1", "a number, or text in quotes", 6),
        ("kind = 'l2", "a number, or text in quotes", 7),
        ("auc ; drop", "a comparison is expected", 4),
    ],
)
def test_what_makes_no_sense_is_told_where(text: str, told: str, column: int) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse(text)
    assert caught.value.message.splitlines()[-1] == "  " + " " * column + "^"


@given(st.text())
def test_any_text_gives_conditions_or_an_error(text: str) -> None:
    try:
        parse(text)
    except UsageError as problem:
        assert "^" in problem.message
