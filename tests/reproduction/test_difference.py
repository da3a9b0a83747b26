"""The first difference of two results, in words."""

from __future__ import annotations

import io

import polars as pl
import pytest

from keepfit.reproduction.difference import first_difference


def parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        ("a.json", b'{"x": 1}', b'{"x": 1}', ""),
        ("a.json", b'{"x": [1, {"y": 2}]}', b'{"x": [1, {"y": 3}]}', "$.x[1].y: 2 before, 3 now"),
        ("a.json", b'{"x": 1}', b'{"x": 1, "y": 2}', "$.y: None before, 2 now"),
        ("a.json", b"[1]", b"[1, 2]", "$: [1] before, [1, 2] now"),
        ("a.json", b'{"x": 1}', b"{", "byte 1 of 8 (now 1)"),
        ("model.skops", b"abc", b"abd", "byte 2 of 3 (now 3)"),
        ("a.parquet", parquet(x=[1.0, None]), parquet(x=[1.0, 2.5]), "column `x`, row 1: None before, 2.5 now"),
        ("a.parquet", parquet(x=[1.0, 2.0]), parquet(x=[1.0, 2.5]), "(1 of 2 rows differ, by at most 0.5)"),
        ("a.parquet", parquet(x=["a"]), parquet(x=["b"]), "(1 of 1 rows differ)"),
        ("a.parquet", parquet(x=[{"y": 1}]), parquet(x=[{"y": 2}]), "column `x`, row 0"),
        ("a.parquet", parquet(x=[1]), parquet(x=[1, 2]), "1 rows before, 2 now"),
        ("a.parquet", parquet(x=[1]), parquet(y=[1]), "columns"),
    ],
)
def test_the_first_place_is_named(name: str, before: bytes, after: bytes, words: str) -> None:
    told = first_difference(name, before, after)
    assert words in told and bool(told) == (before != after)
