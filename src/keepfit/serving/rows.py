"""From the files of side datasets to the rows the scorers join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import polars as pl

from keepfit.core.digests import digest_value
from keepfit.core.files import write_file
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.read import collect, find_files, read_files
from keepfit.home import Home
from keepfit.serving.endpoint import sync
from keepfit.serving.records import NEWEST, OnlineRow, Records
from keepfit.serving.wire import Packer, Row

_encode = msgspec.msgpack.Encoder().encode


def refresh(home: Home, sides: Sequence[Dataset]) -> list[str]:
    """Bring the newest rows of changed side datasets to the endpoint; gives their names. Looking costs a stat per file.

    Raises NotFound when a dataset has no files, DataError when they cannot be read, StoreError
    when the disk refuses.
    """
    seen = home.folder / "serving" / "refreshed.json"
    known = _seen(seen)
    now = {side.name: _state(home.root, side) for side in sides}
    changed = [side for side in sides if now[side.name] != known.get(side.name)]
    if changed:
        with Records(home.folder / "serving" / "records.db") as records:
            for side in changed:
                records.store_rows(side.name, online_rows(side, _newest(home.root, side).rows()))
        write_file(seen, msgspec.json.encode({**known, **now}))
        sync(home)
    return [side.name for side in changed]


def online_rows(side: Dataset, rows: Sequence[Row]) -> list[OnlineRow]:
    """Rows of a side dataset (values in the order of its columns) as they are kept."""
    names = list(side.columns)
    keys, time = side.role("key"), side.event_time
    if not rows:
        return []
    found = []
    for values in zip(*Packer(side.columns).columns(rows), strict=True):
        row = dict(zip(names, values, strict=True))
        key = _encode([row[k] for k in keys])
        found.append(OnlineRow(key, (row[time] or 0) if time else 0, _encode(row)))
    return found


def _newest(root: Path, side: Dataset) -> pl.DataFrame:
    keys, time = side.role("key"), side.event_time
    rows = read_files(find_files(root, side), side)
    if time is not None:
        rows = rows.filter(pl.col(time).is_not_null()).sort(time, maintain_order=True)
    most = NEWEST if time is not None else 1
    newest = rows.group_by(keys, maintain_order=True).tail(most) if keys else rows.tail(most)
    return collect(newest.select(list(side.columns)), side)


def _state(root: Path, side: Dataset) -> str:
    """Changes when the files do, or what the project says of them."""
    stats = [(str(f), (s := f.stat()).st_size, s.st_mtime_ns, s.st_ino) for f in find_files(root, side)]
    return digest_value([side, stats])


def _seen(path: Path) -> Mapping[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}
