"""Tensors of the Open Inference Protocol: from JSON or bytes to rows, and back to bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from keepfit.datasets.dataset import ColumnType
from keepfit.serving.explain import explain_names, shown
from keepfit.serving.problems import Problem, Rejection
from keepfit.serving.signature import Rows, Signature

DATATYPES: dict[ColumnType, str] = {
    "number": "FP64",
    "integer": "INT64",
    "bool": "BOOL",
    "category": "BYTES",
    "text": "BYTES",
    "timestamp": "BYTES",
    "date": "BYTES",
}
"""The datatype a feature is told to have; any that holds its values is taken."""

_NUMPY = {
    "BOOL": "?",
    **{f"{sign}INT{bits}": f"<{sign.lower() or 'i'}{bits // 8}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}
_NUMBERS = ("number", "integer", "bool")
_LENGTH = 4


class Tensor(msgspec.Struct, frozen=True):
    """One input as it stands in a request."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class Values(msgspec.Struct, frozen=True):
    """One input with all its values, in the order of its elements."""

    name: str
    shape: list[int]
    data: Any
    """A list, or a numpy array."""


def of_binary(inputs: Sequence[Tensor], binary: bytes) -> list[Values]:
    """The inputs with their values; Rejection 422 when shape, datatype and data do not fit each other."""
    found = []
    for number, tensor in enumerate(inputs):
        path = f"$.inputs[{number}]"
        if tensor.datatype not in (*_NUMPY, "BYTES"):
            raise _unfit(f"{path}.datatype", f"one of {', '.join((*_NUMPY, 'BYTES'))}", tensor.datatype)
        if not 1 <= len(tensor.shape) <= 2 or any(size < 0 for size in tensor.shape):
            raise _unfit(f"{path}.shape", "[rows] or [rows, columns]", tensor.shape)
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            values: Any = _flat(tensor.data, f"{path}.data")
        elif isinstance(size, int) and 0 <= size <= len(binary) and tensor.data is None:
            values, binary = _from_bytes(tensor, binary[:size], path), binary[size:]
        else:
            raise _unfit(f"{path}.parameters.binary_data_size", "a size within the body, and no `data`", size)
        if len(values) != math.prod(tensor.shape):
            raise _unfit(f"{path}.shape", f"a shape of the {len(values)} values", tensor.shape)
        found.append(Values(tensor.name, tensor.shape, values))
    if binary:
        raise _unfit("$", "no bytes behind those of the inputs", f"{len(binary)} more")
    return found


def rows(inputs: Sequence[Values], signature: Signature, max_rows: int) -> Rows:
    """The rows that the tensors hold, as a model with this signature takes them; raises Rejection."""
    matrix = inputs[0] if len(inputs) == 1 and len(inputs[0].shape) == 2 else None
    names = list(signature.columns)
    if matrix is not None and matrix.name not in names:
        return _matrix(matrix, signature, max_rows)
    columns = {tensor.name: tensor.data for tensor in inputs}
    if problem := explain_names(columns, "$.inputs", names):
        raise Rejection(422, problem)
    if len(columns) != len(inputs):
        raise _unfit("$.inputs", "one tensor for each feature", f"{len(inputs)} inputs")
    for number, tensor in enumerate(inputs):
        if tensor.shape[0] != inputs[0].shape[0] or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
            expected = f"[{inputs[0].shape[0]}] or [{inputs[0].shape[0]}, 1], as the other inputs"
            raise _unfit(f"$.inputs[{number}].shape", expected, tensor.shape)
    at = {tensor.name: number for number, tensor in enumerate(inputs)}

    def place(row: int, name: str | None) -> str:
        return f"$.inputs[{at[name]}].data[{row}]" if name else f"$.inputs[*].data[{row}]"

    if any(isinstance(values, np.ndarray) for values in columns.values()):
        return signature.frame(_frame(columns), place, max_rows)
    return signature.columns_of(columns, place, max_rows)


def to_binary(values: Sequence[Any], datatype: str) -> bytes:
    """The values in the protocol's bytes."""
    if datatype != "BYTES":
        return np.array(values, _NUMPY[datatype]).tobytes()
    encoded = [str(value).encode() for value in values]
    return b"".join(part for text in encoded for part in (len(text).to_bytes(_LENGTH, "little"), text))


def _matrix(tensor: Values, signature: Signature, max_rows: int) -> Rows:
    """The columns of a matrix are the features, in the order of the model."""
    height, width = tensor.shape
    columns = signature.columns
    other = next((name for name, column in columns.items() if column.type not in _NUMBERS), None)
    if other is not None or width != len(columns):
        why = f"`{other}` is no number" if other is not None else f"the model has {len(columns)} features"
        raise _unfit("$.inputs", f"a tensor for each feature ({why})", f"a matrix of {height} x {width}")

    def place(row: int, name: str | None) -> str:
        return f"$.inputs[0].data[{row * width + (list(columns).index(name) if name else 0)}]"

    if isinstance(tensor.data, np.ndarray):
        table = np.ascontiguousarray(tensor.data.reshape(height, width).T)
        return signature.frame(_frame(dict(zip(columns, table, strict=True))), place, max_rows)
    by_column = {name: tensor.data[number::width] for number, name in enumerate(columns)}
    return signature.columns_of(by_column, place, max_rows)


def _frame(columns: Mapping[str, Any]) -> pl.DataFrame:
    series = []
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.dtype == np.float16:
            values = values.astype(np.float32)
        series.append(pl.Series(name, values, strict=False))
    return pl.DataFrame(series)


def _flat(data: Any, path: str) -> list[Any]:
    """The elements of a JSON tensor, which may be nested by its shape."""
    if data is None:
        raise _unfit(path, "an array, or `binary_data_size` in the parameters", None)
    if not any(isinstance(part, list) for part in data):
        return list(data)
    if not all(isinstance(part, list) for part in data):
        raise _unfit(path, "an array of values, or of arrays", data)
    inner = [value for part in data for value in part]
    if any(isinstance(value, list) for value in inner):
        raise _unfit(path, "an array nested no deeper than its shape", data)
    return inner


def _from_bytes(tensor: Tensor, content: bytes, path: str) -> Any:
    if tensor.datatype == "BYTES":
        return _texts(content, path)
    dtype = np.dtype(_NUMPY[tensor.datatype])
    if len(content) % dtype.itemsize:
        raise _unfit(f"{path}.parameters.binary_data_size", f"a multiple of {dtype.itemsize}", len(content))
    return np.frombuffer(content, dtype)


def _texts(content: bytes, path: str) -> list[str]:
    found, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + _LENGTH], "little")
        at += _LENGTH
        if at + length > len(content):
            raise _unfit(path, "elements of BYTES that end within the data", f"a length of {length}")
        try:
            found.append(content[at : at + length].decode())
        except UnicodeDecodeError:
            raise _unfit(path, "text in UTF-8", "other bytes") from None
        at += length
    return found


def _unfit(path: str, expected: str, received: Any) -> Rejection:
    told = received if isinstance(received, str) else shown(received)
    problem = Problem(
        code="invalid-tensor", message="the tensors cannot be read", path=path, expected=expected, received=told
    )
    return Rejection(422, problem)
