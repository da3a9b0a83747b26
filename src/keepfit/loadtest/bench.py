"""A load test of a running endpoint, or of a package in a gateway of its own."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.loadtest.alone import alone
from keepfit.loadtest.fire import Target, fire
from keepfit.loadtest.load import Figures, Load
from keepfit.loadtest.questions import questions_of
from keepfit.packages.unpack import unpack
from keepfit.serving.access import token_of
from keepfit.serving.endpoint import call
from keepfit.serving.settings import ServeSettings

TOKEN = "KEEPFIT_TOKEN"
"""Environment variable with the token of an endpoint that is not this project's."""


class Bench(NamedTuple):
    """What was tested, and what came of it."""

    target: str
    promised: bool
    """Whether values were held against the package's golden rows, and not just against the first answer to each."""
    figures: Figures


def bench(
    home: Home,
    load: Load,
    *,
    url: str | None = None,
    package: str | None = None,
    rows: int = 1,
    settings: ServeSettings,
    stop: Callable[[float], bool] | None = None,
) -> Bench:
    """Send the load to the endpoint at `url`, or to this package, served for the purpose.

    What is asked of a running endpoint is kept out of its prediction log. Raises ServingError when it
    does not answer, NotFound when nothing is live there or its package is not at hand.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keepfit-"))) / "package"
        if package is not None:
            manifest = unpack(home, package, folder)
            target = stack.enter_context(alone(folder, package, settings))
            title, promised = f"{manifest.model}@{manifest.version}, served for this test", True
        else:
            target = Target(url or "", os.environ.get(TOKEN) or token_of(home.folder), "/predict?log=off")
            live = call(target.url, target.token, "GET", "/model")
            if live["version"] is None:
                raise NotFound(f"nothing is live at {target.url}", hint="keepfit release")
            manifest = unpack(home, live["package"], folder)
            title, promised = f"{manifest.model}@{live['version']} at {target.url}", not manifest.sides
        questions = questions_of(folder, manifest.version, rows=rows, promise=promised)
        return Bench(title, promised, fire(target, questions, load, stop=stop))
