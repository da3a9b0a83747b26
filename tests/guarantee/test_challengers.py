"""Bad challengers: each is refused within 30 seconds, with the reason, and no request notices."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from guarantee_kit import kept, ready, spotless, volley
from serving_kit import CODE, open_home, package, release

from keepfit.home import Home
from keepfit.packages.sign import sign
from keepfit.serving.endpoint import prove

REFUSED_WITHIN = 30.0


def coded(text: str) -> Callable[[Home], str]:
    return lambda home: package(home, 2, code=text)


def features(text: str) -> Callable[[Home], str]:
    """With this as the body of the features, after what they give back rightly is `right`."""
    right = "right = toys.select(x=pl.col('x'), huge=pl.lit(0.0))"
    return coded(f"import time\nimport polars as pl\ndef features(toys):\n    {right}\n    {text}\n")


def damaged(home: Home) -> str:
    """A byte of the archive is another, wherever it lies."""
    digest = package(home, 2)
    with home.objects.open(digest) as file:
        whole = bytearray(file.read())
    whole[len(whole) // 2] ^= 1
    return home.objects.put(bytes(whole))


def signed_by_others(home: Home) -> str:
    key = home.folder / "key"
    own = key.read_bytes()
    key.unlink()
    sign(b"", key)  # makes a key
    try:
        return package(home, 2)
    finally:
        key.write_bytes(own)


CHALLENGERS: dict[str, tuple[Callable[[Home], str], str]] = {
    "raises at import": (coded("raise RuntimeError('no luck')\n" + CODE), "no luck"),
    "fails to import": (coded("import no_such_module\n" + CODE), "no_such_module"),
    "raises at predict": (features("raise ValueError('not today')"), "not today"),
    "ends its process": (features("import os; os._exit(0)"), "died"),
    "answers infinity": (
        lambda home: package(home, 2, code=CODE.replace(".otherwise(0.0)", ".otherwise(1e6)"), expected=math.inf),
        "not finite",
    ),
    "has another schema": (features("return right.select('x')"), "features"),
    "gives another number of rows": (features("return right.head(3)"), "rows"),
    "answers otherwise": (lambda home: package(home, 2, wrong=True), "golden rows"),
    "never answers": (features("time.sleep(1000)"), "within"),
    "eats memory": (features("held = [bytearray(10_000_000) for _ in range(1000)]; return right"), "MB of memory"),
    "is damaged": (damaged, "damaged|envelope|signature"),
    "is signed by somebody else": (signed_by_others, "not trusted"),
}


@pytest.mark.slow
def test_bad_challengers_are_refused(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    told = dict[str, tuple[float, str, str]]()
    with kept(tmp_path, memory="800MB") as running:
        ready(running)
        with volley(f"{len(CHALLENGERS)} bad challengers", running.url, running.token, [1]) as found:
            for name, (made, reason) in CHALLENGERS.items():
                digest, begun = made(home), time.monotonic()
                refused = prove(home, digest, 2)
                seconds = time.monotonic() - begun
                print(f"\n  {name}: refused after {seconds:.1f} s: {refused}", flush=True)
                told[name] = (seconds, refused or "", reason)
    for name, (seconds, refused, reason) in told.items():
        assert any(word in refused for word in reason.split("|")), f"{name}: {refused or 'it was not refused'}"
        assert seconds < REFUSED_WITHIN, name
    spotless(found)
