"""What `find` must give, in plain Python, and queries to try it with."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from keepfit.ledger import Fact, Query, Where
from keepfit.testing.workers import NOON

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_kinds = st.sampled_from(["run", "alert"])
_subjects = st.sampled_from(["model/a", "model/b"])
_times = st.integers(0, 4).map(lambda hours: NOON + timedelta(hours=hours))
_names = st.sampled_from(["loss", "rate"])
_values = st.sampled_from([-1.5, 0.0, 0.1, 2.0, 1e300, "", "a", "ab", "b", "é", "\U0001f600"])
_wheres = st.builds(Where, _names, st.sampled_from(sorted(_COMPARE)), _values)

contents = st.tuples(_kinds, _subjects, _times, st.dictionaries(_names, _values))
"""Kind, subject, time and attributes of a fact."""

queries = st.builds(
    Query,
    kind=st.none() | _kinds,
    subject=st.none() | _subjects,
    where=st.lists(_wheres, max_size=3).map(tuple),
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
        and all(_holds(fact, where) for where in query.where)
    )


def _holds(fact: Fact, where: Where) -> bool:
    value = fact.attributes.get(where.attribute)
    same_kind = isinstance(value, str) == isinstance(where.value, str)
    return value is not None and same_kind and _COMPARE[where.is_](value, where.value)


def _rank(value: float | str) -> tuple[bool, float | str]:
    return isinstance(value, str), value
