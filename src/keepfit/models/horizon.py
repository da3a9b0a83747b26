"""Up to when labels are known: found in the data, and not looked for again while they stay the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from keepfit.core.clocks import utc
from keepfit.core.digests import digest_value
from keepfit.core.errors import NotEnoughData
from keepfit.core.files import write_file
from keepfit.datasets.dataset import Dataset
from keepfit.home import Home

_KEPT = 50
"""Versions of data that are remembered."""
_DAY = timedelta(days=1)


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """When the newest known label became known, and the end of that row's day; both None without an event time.

    Both come from the data, not from the clock, so that the same data give the same plan.
    """

    known: datetime | None
    end: datetime | None
    settled: datetime | None
    """From when on all of the data is known, so that this stays as it is; None: from the beginning."""


def horizon(home: Home, main: Dataset, version: str) -> Horizon:
    """The horizon of this version of the main dataset now; NotEnoughData when no label is known yet."""
    path = home.folder / "cache" / "horizon.json"
    try:
        seen = msgspec.json.decode(path.read_bytes(), type=dict[str, Horizon])
    except (OSError, msgspec.MsgspecError):
        seen = {}
    key, now = digest_value([version, main]), home.clock.now()
    found = seen.get(key)
    if found and (found.settled is None or found.settled <= now):
        return found
    found = _read(home, main, now)
    if found.settled is None or found.settled <= now:
        newest = list({**seen, key: found}.items())[-_KEPT:]
        write_file(path, msgspec.json.encode(dict(newest)))
    return found


def _read(home: Home, main: Dataset, now: datetime) -> Horizon:
    import polars as pl

    from keepfit.datasets.read import find_files, known_at, read_files, reading

    time, frame = main.event_time, read_files(find_files(home.root, main), main)
    newest = pl.col(time).max() if time else pl.lit(None)
    labelled = known_at(frame, main, now).filter(pl.col(main.label or "").is_not_null())
    with reading(main):
        whole, part = pl.collect_all([frame.select(newest), labelled.select(pl.len(), newest.alias("newest"))])
    rows, last = part.row(0)
    if not rows:
        raise NotEnoughData(
            f"no row of `{main.name}` has a label that is known at {now:%Y-%m-%d %H:%M}",
            hint=f"fill in `{main.label}`, or change its known_after under [data.{main.name}] in keepfit.toml",
        )
    if last is None:
        return Horizon(known=None, end=None, settled=None)
    midnight = datetime(last.year, last.month, last.day, tzinfo=UTC)
    return Horizon(
        known=utc(last) + main.label_delay,
        end=midnight + _DAY,
        settled=utc(whole.item()) + max(main.row_delay, main.label_delay),
    )
