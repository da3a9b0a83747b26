"""What `keepfit status` says of the windows of production."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keepfit.cli.status import screen
from keepfit.core.clocks import ReplayClock
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import open_ledger
from keepfit.monitoring import watch
from keepfit.monitoring.settings import WatchSettings
from keepfit.monitoring.watch import Coming, Window, coming_window, due_windows
from keepfit.objects import open_objects
from keepfit.releases.release import Release
from keepfit.status import Status

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def live(version: int) -> Release:
    return Release(
        id=f"release-{version}",
        model_name="m",
        version=version,
        time=NOW,
        reason="rolled back by hand",
        model="",
        package="",
        previous=None,
        actor="ana",
    )


def told(window: Window | None, watched: Release | None, coming: Coming | None) -> str:
    status = Status(
        project="m",
        now=NOW,
        live=live(1),
        endpoint=None,
        window=window,
        watched=watched,
        coming=coming,
        alerts=[],
        sources=[],
        next=[],
        last=None,
    )
    return next(line for line in screen(status).splitlines() if line.startswith("doing"))


def test_it_says_which_version_a_window_was_of_and_when_the_next_is_watched() -> None:
    seen = Window(
        id="",
        start=NOW - DAY,
        end=NOW,
        release="release-2",
        predictions=5,
        labelled=4,
        metrics={"auc": 0.75},
        recent=None,
        symptoms=[],
    )
    assert told(seen, live(2), None).endswith("5 predictions, 4 labelled on 2024-06-02 12:00:00, of m@2  auc 0.7500")
    assert told(seen, live(1), None).endswith("on 2024-06-02 12:00:00  auc 0.7500")
    coming = Coming(start=NOW, watched=NOW + DAY)
    expected = "the window of 2024-06-03 12:00:00 is not over; it is watched at 2024-06-04 12:00:00"
    assert told(None, None, coming).endswith(expected)
    assert told(None, None, None).endswith("nothing watched yet")


def test_a_window_is_due_or_coming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(
        root=tmp_path,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", tmp_path),
        objects=open_objects("folder:.keepfit/objects", tmp_path),
        engine=Here(),
        clock=ReplayClock(NOW),
    )
    days = [datetime(2024, 6, day, tzinfo=UTC) for day in (1, 2, 3)]
    settings = WatchSettings()
    assert settings.width == DAY
    assert coming_window(home, "m", settings=settings, delay=DAY) is None
    log = home.folder / "serving" / "log"
    log.mkdir(parents=True)
    (log / "1.journal").write_bytes(b"something")
    assert coming_window(home, "m", settings=settings, delay=DAY) == Coming(start=days[2], watched=days[2] + 2 * DAY)
    monkeypatch.setattr(watch, "windows_of", lambda folder, since, width: days)
    assert due_windows(home, "m", settings=settings, delay=DAY) == days[:1]
    assert coming_window(home, "m", settings=settings, delay=DAY) == Coming(start=days[1], watched=days[1] + 2 * DAY)
