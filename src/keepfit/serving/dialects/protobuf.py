"""Protocol Buffers on the wire, as far as a few messages need it: nothing is generated, or installed, for it.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

Kind = Literal["string", "bytes", "bool", "int", "uint", "float", "double"]
Message: TypeAlias = "Mapping[int, Field]"

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_WIRE: dict[Kind, int] = {"bool": _VARINT, "int": _VARINT, "uint": _VARINT, "float": _FOUR, "double": _EIGHT}
_CODES = {"float": "f", "double": "d"}
_LONGEST = 10
"""Bytes of a varint."""


class Field(NamedTuple):
    """One field of a message."""

    name: str
    kind: Kind | Message
    many: bool = False


def decode(message: Message, data: bytes | memoryview) -> dict[str, Any]:
    """Name -> value of the fields that are there, a list for each that may repeat; unknown fields are passed over.

    Raises ValueError for bytes that are no message of this kind.
    """
    found: dict[str, Any] = {field.name: [] for field in message.values() if field.many}
    for number, wire, value in _fields(memoryview(data)):
        if (field := message.get(number)) is None:
            continue
        values = _values(field, wire, value)
        if field.many:
            found[field.name].extend(values)
        elif values:
            found[field.name] = values[-1]
    return found


def encode(message: Message, values: Mapping[str, Any]) -> bytes:
    """The bytes of a message; a field that is not among the values is left out, as one that is empty."""
    parts: list[bytes] = []
    for number, field in message.items():
        value = values.get(field.name)
        if not value:
            continue
        if isinstance(field.kind, str) and field.kind in _WIRE and field.many:
            packed = b"".join(_scalar(field.kind, one) for one in value)
            parts += [_varint(number << 3 | _BYTES), _varint(len(packed)), packed]
            continue
        for one in value if field.many else [value]:
            parts.append(_one(number, field.kind, one))
    return b"".join(parts)


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field: an int, or bytes."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            yield key >> 3, wire, value
            continue
        if wire == _BYTES:
            size, at = _read_varint(data, at)
        elif wire in (_EIGHT, _FOUR):
            size = 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"a field has the wire type {wire}")
        if at + size > len(data):
            raise ValueError("a field ends behind the message")
        yield key >> 3, wire, data[at : at + size]
        at += size


def _values(field: Field, wire: int, value: Any) -> list[Any]:
    kind = field.kind
    if not isinstance(kind, str) or kind in ("string", "bytes"):
        if wire != _BYTES:
            raise ValueError(f"`{field.name}` has the wire type {wire}")
        if not isinstance(kind, str):
            return [decode(kind, value)]
        return [str(value, "utf-8") if kind == "string" else bytes(value)]
    if wire == _BYTES:
        return _packed(kind, value)
    if wire != _WIRE[kind]:
        raise ValueError(f"`{field.name}` has the wire type {wire}")
    return [_number(kind, value)] if wire == _VARINT else _packed(kind, value)


def _packed(kind: Kind, data: memoryview) -> list[Any]:
    if code := _CODES.get(kind):
        size = struct.calcsize(f"<{code}")
        if len(data) % size:
            raise ValueError(f"packed numbers take a multiple of {size} bytes")
        return list(struct.unpack(f"<{len(data) // size}{code}", data))
    found, at = [], 0
    while at < len(data):
        value, at = _read_varint(data, at)
        found.append(_number(kind, value))
    return found


def _number(kind: Kind, value: int) -> int | bool:
    if kind == "bool":
        return bool(value)
    return value - 2**64 if kind == "int" and value >= 2**63 else value


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & (2**64 - 1), at + place + 1
    raise ValueError("a number is cut off, or too long")


def _one(number: int, kind: Kind | Message, value: Any) -> bytes:
    if isinstance(kind, str) and kind in _WIRE:
        return _varint(number << 3 | _WIRE[kind]) + _scalar(kind, value)
    content = encode(kind, value) if not isinstance(kind, str) else value.encode() if kind == "string" else value
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _scalar(kind: Kind, value: Any) -> bytes:
    code = _CODES.get(kind)
    return struct.pack(f"<{code}", value) if code else _varint(int(value) & (2**64 - 1))


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
