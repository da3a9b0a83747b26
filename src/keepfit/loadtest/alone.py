"""One package served by a gateway of its own, on any free port, as it would be served in production."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from msgspec.structs import replace

from keepfit.core.errors import PackageError
from keepfit.home import FOLDER
from keepfit.loadtest.fire import Target
from keepfit.models.train import SIDE
from keepfit.packages.unpack import read_manifest
from keepfit.serving.desired import Live, Release
from keepfit.serving.endpoint import call
from keepfit.serving.gateway import start
from keepfit.serving.records import Records
from keepfit.serving.rows import online_rows
from keepfit.serving.settings import ServeSettings


@contextlib.contextmanager
def alone(folder: Path, digest: str, settings: ServeSettings) -> Iterator[Target]:
    """Where the unpacked package in `folder` answers for the duration of the block, everything on: ids, log, metrics.

    Its golden rows find joined to them what was joined when it was tested. Raises PackageError when
    it does not load, or does not repeat its golden rows; ServingError when no gateway can be started.
    """
    manifest = read_manifest(folder)
    with tempfile.TemporaryDirectory(prefix="keepfit-", ignore_cleanup_errors=True) as place:
        home = Path(place) / FOLDER
        pins = home / "pins"
        pins.mkdir(parents=True)
        (pins / digest[:16]).symlink_to(folder.resolve(), target_is_directory=True)
        Live(Release("alone", manifest.version, digest)).pin(pins / "live.json")
        _keep_joined(folder, home / "serving" / "records.db")
        running = start(Path(place), manifest.model, replace(settings, host="127.0.0.1", port=0))
        try:
            if call(running.url, running.token, "GET", "/model")["version"] is None:
                log = (home / "serving" / "gateway.log").read_text(errors="replace").strip()
                raise PackageError(f"the endpoint does not load it: {(log.splitlines() or ['no reason told'])[-1]}")
            yield Target(running.url, running.token)
        finally:
            running.stop()


def _keep_joined(folder: Path, records: Path) -> None:
    manifest = read_manifest(folder)
    if not manifest.sides:
        return
    golden = pl.read_parquet(folder / "golden.parquet", glob=False)
    with Records(records) as store:
        for side in manifest.sides:
            rows = golden[f"{SIDE}{side.name}"].struct.unnest().select(list(side.columns))
            seen = rows.filter(~pl.all_horizontal(pl.all().is_null())).unique(maintain_order=True)
            store.store_rows(side.name, online_rows(side, seen.rows()))
