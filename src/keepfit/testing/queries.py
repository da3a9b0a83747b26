"""What `find` must give, in plain Python, and queries to try it with."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from keepfit.ledger import Combined, Fact, Query, Where
from keepfit.testing.workers import NOON


def _like(value: str, pattern: str) -> bool:
    wild = {"%": ".*", "_": "."}
    return re.fullmatch("".join(wild.get(c) or re.escape(c) for c in pattern), value, re.DOTALL) is not None


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "like": _like,
}
_kinds = st.sampled_from(["run", "alert"])
_subjects = st.sampled_from(["model/a", "model/b"])
_times = st.integers(0, 4).map(lambda hours: NOON + timedelta(hours=hours))
_names = st.sampled_from(["loss", "rate"])
_values = st.sampled_from([-1.5, 0.0, 0.1, 2.0, 1e300, "", "a", "ab", "b", "é", "\U0001f600"])
_patterns = st.text(st.sampled_from("%_ab*?[]^\\é\U0001f600"), max_size=4)
_wheres = st.builds(Where, _names, st.sampled_from(sorted(_COMPARE.keys() - {"like"})), _values) | st.builds(
    Where, _names, st.just("like"), _patterns
)
conditions: st.SearchStrategy[Where | Combined] = st.recursive(
    _wheres,
    lambda inner: st.builds(Combined, st.sampled_from(["all", "any", "none"]), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=6,
)

contents = st.tuples(_kinds, _subjects, _times, st.dictionaries(_names, _values))
"""Kind, subject, time and attributes of a fact."""

queries = st.builds(
    Query,
    kind=st.none() | _kinds,
    subject=st.none() | _subjects,
    where=st.lists(conditions, max_size=3).map(tuple),
    since=st.none() | _times,
    until=st.none() | _times,
    order=st.none() | _names,
    descending=st.booleans(),
    limit=st.integers(0, 20),
    offset=st.integers(0, 5),
)


def found(facts: Sequence[Fact], query: Query) -> list[Fact]:
    """What `find` must give when these facts were appended in this order."""
    newest_first = [fact for fact in reversed(facts) if _matches(fact, query)]
    if query.order is None:
        ordered = newest_first if query.descending else newest_first[::-1]
    else:
        having = [fact for fact in newest_first if query.order in fact.attributes]
        # Python keeps ties as they come, also when reversed
        having.sort(key=lambda fact: _rank(fact.attributes[str(query.order)]), reverse=query.descending)
        ordered = having + [fact for fact in newest_first if query.order not in fact.attributes]
    return ordered[query.offset : query.offset + query.limit]


def _matches(fact: Fact, query: Query) -> bool:
    return (
        query.kind in (None, fact.kind)
        and query.subject in (None, fact.subject)
        and (query.since is None or query.since <= fact.time)
        and (query.until is None or fact.time < query.until)
        and all(meets(fact.attributes, condition) for condition in query.where)
    )


def meets(attributes: Mapping[str, float | str], condition: Where | Combined) -> bool:
    """Whether a fact with these attributes meets a condition."""
    if isinstance(condition, Combined):
        each = [meets(attributes, one) for one in condition.conditions]
        return all(each) if condition.is_ == "all" else any(each) == (condition.is_ == "any")
    value = attributes.get(condition.attribute)
    same_kind = isinstance(value, str) == isinstance(condition.value, str)
    return value is not None and same_kind and _COMPARE[condition.is_](value, condition.value)


def _rank(value: float | str) -> tuple[bool, float | str]:
    return isinstance(value, str), value
