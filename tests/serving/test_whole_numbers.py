"""Clients that know only floats (JavaScript, pandas with gaps) send 3.0 for an integer: it is 3, on every path."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.read import read_files
from keepfit.serving.dialects import delimited, tensors
from keepfit.serving.problems import Rejection
from keepfit.serving.signature import Rows, Signature
from keepfit.serving.wire import Table

COLUMNS = {"n": Column(type="integer", at_least=-5)}
SIGNATURE = Signature(COLUMNS)


def place(row: int, name: str | None) -> str:
    return f"$[{row}].{name}"


def by_json(values: list[Any]) -> Rows:
    return SIGNATURE.decode(json.dumps({"rows": [{"n": v} for v in values]}).encode(), 100)


def by_columns(values: list[Any]) -> Rows:
    return SIGNATURE.decode(json.dumps({"columns": {"n": values}}).encode(), 100)


def by_csv(values: list[Any]) -> Rows:
    return delimited.read(SIGNATURE, "\n".join(["n", *map(str, values), ""]).encode(), 100)


def by_arrow(values: list[Any]) -> Rows:
    return SIGNATURE.frame(pl.DataFrame({"n": values}), place, 100)


def by_tensor(values: list[Any]) -> Rows:
    return tensors.rows([tensors.Values("n", [len(values)], values)], SIGNATURE, 100)


def by_bytes(values: list[Any]) -> Rows:
    return tensors.rows([tensors.Values("n", [len(values)], np.array(values))], SIGNATURE, 100)


PATHS = [by_json, by_columns, by_csv, by_arrow, by_tensor, by_bytes]


def integers(rows: Rows) -> list[int]:
    assert not rows.bad
    if not isinstance(rows.good, Table):
        assert all(type(n) is int for (n,) in rows.good)
        return [n for (n,) in rows.good]
    (packed,) = rows.good.columns
    return list(struct.unpack(f"<{len(packed) // 8}q", packed)) if isinstance(packed, bytes) else list(packed)


@pytest.mark.parametrize("path", PATHS)
def test_a_whole_float_is_the_integer(path: Any) -> None:
    assert integers(path([3.0, -2.0, 0.0])) == integers(path([3, -2, 0])) == [3, -2, 0]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("value", [3.5, -6.0, 1e300])
def test_any_other_float_is_refused(path: Any, value: float) -> None:
    with pytest.raises(Rejection) as caught:
        path([value])
    assert caught.value.status == 422


def test_files_mean_the_same(tmp_path: Path) -> None:
    dataset = Dataset(name="d", source="", columns=COLUMNS)
    buffer = io.BytesIO()
    pl.DataFrame({"n": [3.0, None, 9007199254740992.0]}).write_parquet(buffer)
    (tmp_path / "d.parquet").write_bytes(buffer.getvalue())
    (tmp_path / "d.csv").write_text("n\n3.0\nNA\n9007199254740993.0\n")
    assert read_files([tmp_path / "d.parquet"], dataset).collect()["n"].to_list() == [3, None, 2**53]
    assert read_files([tmp_path / "d.csv"], dataset).collect()["n"].to_list() == [3, None, 2**53 + 1]
