"""Cutting files where their content says so: equal stretches are cut alike, wherever they lie.

FastCDC with normalized chunking (Xia et al., "The Design of Fast Content-Defined Chunking for
Data Deduplication Based Storage Systems", IEEE TPDS 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class Chunking(NamedTuple):
    """Bytes in a chunk. Kept in each store: chunks cut otherwise would not be found again."""

    least: int = 1 << 14
    average: int = 1 << 16
    most: int = 1 << 18


def cut(stream: BinaryIO, chunking: Chunking) -> Iterator[memoryview]:
    """The chunks of everything still to be read from a stream, each valid until the next is asked for."""
    from pyfastcdc import FastCDC

    cutter = FastCDC(avg_size=chunking.average, min_size=chunking.least, max_size=chunking.most, seed=0)
    for chunk in cutter.cut_stream(stream):
        yield chunk.data
