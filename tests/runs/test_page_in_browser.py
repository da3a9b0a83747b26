"""Pages as a browser takes them: drawn at any width, and with nothing to complain about."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from page_kit import write_pages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; on Debian: apt install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_has_nothing_to_complain_about(tmp_path: Path, width: int) -> None:
    for page in write_pages(tmp_path):
        picture = page.with_suffix(".png")
        asked = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1200", f"--screenshot={picture}"]
        command = [str(CHROMIUM), *QUIET, *asked, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "CONSOLE" not in done.stderr, done.stderr
        assert int.from_bytes(picture.read_bytes()[16:20]) == width
