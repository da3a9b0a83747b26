"""Where two results that should be equal first differ, in words."""

from __future__ import annotations

import io
from itertools import zip_longest
from typing import Any

import msgspec
import polars as pl


def first_difference(name: str, before: bytes, after: bytes) -> str:
    """The first place where two files of this name differ: column and row, key, or byte; empty when they are equal."""
    if before == after:
        return ""
    try:
        if name.endswith(".parquet"):
            return _in_tables(pl.read_parquet(io.BytesIO(before)), pl.read_parquet(io.BytesIO(after)))
        if name.endswith(".json"):
            return _in_values(msgspec.json.decode(before), msgspec.json.decode(after), "$")
    except (pl.exceptions.PolarsError, msgspec.MsgspecError):
        pass  # not what its name says: then the bytes
    at = next(i for i, (a, b) in enumerate(zip_longest(before, after)) if a != b)
    return f"byte {at:,} of {len(before):,} (now {len(after):,})"


def _in_tables(before: pl.DataFrame, after: pl.DataFrame) -> str:
    if before.schema != after.schema:
        return f"columns {list(before.schema.items())} before, {list(after.schema.items())} now"
    if before.height != after.height:
        return f"{before.height:,} rows before, {after.height:,} now"
    for column in before.columns:
        old, new = before[column], after[column]
        wrong = old.ne_missing(new).arg_true()
        if len(wrong):
            row = int(wrong[0])
            most = f", by at most {(old - new).abs().max()!r}" if old.dtype.is_float() else ""
            told = f"column `{column}`, row {row}: {old[row]!r} before, {new[row]!r} now"
            return f"{told} ({len(wrong):,} of {len(old):,} rows differ{most})"
    return "the same rows, written otherwise"


def _in_values(before: Any, after: Any, path: str) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if told := _in_values(before.get(key), after.get(key), f"{path}.{key}"):
                return told
        return ""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            if told := _in_values(old, new, f"{path}[{i}]"):
                return told
        return ""
    return "" if before == after else f"{path}: {_short(before)} before, {_short(after)} now"


def _short(value: object) -> str:
    text = f"{value!r}"
    return text if len(text) <= 60 else f"{text[:60]}..."
