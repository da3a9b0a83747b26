"""`keepfit bench`"""

from __future__ import annotations

import math
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from keepfit import steps
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Progress, Report, table
from keepfit.core.errors import NotFound, UsageError
from keepfit.home import Home
from keepfit.loadtest.bench import Bench, bench
from keepfit.loadtest.load import Bucket, Load
from keepfit.models.model import find_model
from keepfit.serving.endpoint import awaited

CONNECTIONS, AT_ONCE = 64, 1024
WIDTH = 50
"""Characters of the longest bar."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "target",
        nargs="?",
        help="the URL of an endpoint, or a version to serve for the test: delay@3, champion, challenger, an id "
        "(default: the running endpoint, else the champion)",
    )
    parser.add_argument("--rate", metavar="N", help="requests a second, whatever the answers do")
    parser.add_argument(
        "--connections", metavar="N", help=f"or: so many who each wait for their answer (default: {CONNECTIONS})"
    )
    parser.add_argument("--poisson", action="store_true", help="with --rate: by chance, as many people would ask")
    parser.add_argument("--seconds", default="10", metavar="N", help="how long (default: 10)")
    parser.add_argument("--rows", default="1", metavar="N", help="rows in one request (default: 1)")


def run(options: Namespace) -> Report:
    load, rows = _load(options), int(_number(options.rows, "--rows", most=10_000, whole=True))
    project, home = open_anyway(options.project)
    target, package = options.target, None
    if target is None:
        running = awaited(home)
        target = running.url if running else "champion"
    if not target.startswith(("http://", "https://")):
        package = steps.package(home, _model(home, project.name, target)).refs["package"]
    elif target.startswith("https://"):
        raise UsageError(f"`{target}`: the load test speaks plain HTTP only", hint="give the address behind the proxy")
    found = bench(
        home, load, url=target, package=package, rows=rows, settings=project.serve, stop=_interrupted(load.seconds)
    )
    return _report(found, load)


def _model(home: Home, name: str, reference: str) -> Any:
    try:
        return find_model(home, name, reference)
    except NotFound as problem:
        if reference == "champion":
            raise NotFound("there is nothing to test: no model is in production", hint="keepfit retrain") from problem
        raise


def _load(options: Namespace) -> Load:
    if options.rate is not None and options.connections is not None:
        raise UsageError("--rate and --connections are two kinds of load", hint="keepfit bench --rate 500")
    if options.poisson and options.rate is None:
        raise UsageError("--poisson needs a rate", hint="keepfit bench --rate 500 --poisson")
    seconds = _number(options.seconds, "--seconds", most=86_400)
    if options.rate is None:
        connections = CONNECTIONS if options.connections is None else options.connections
        return Load(connections=int(_number(connections, "--connections", most=900, whole=True)), seconds=seconds)
    rate = _number(options.rate, "--rate", most=1_000_000)
    return Load(rate=rate, connections=AT_ONCE, seconds=seconds, poisson=options.poisson)


def _number(text: object, name: str, *, most: float, whole: bool = False) -> float:
    try:
        number = float(str(text).removesuffix("/s").removesuffix("s"))
    except ValueError:
        number = math.nan
    if not 0 < number <= most or (whole and not number.is_integer()):
        kind = "whole number" if whole else "number"
        raise UsageError(f"`{text}` is not a {kind} above 0, at most {most:,.0f}", hint=f"keepfit bench {name} 10")
    return number


def _interrupted(seconds: float) -> Callable[[float], bool]:
    """Asked whether to stop: once somebody wants to; the figures so far are shown."""
    told: list[int] = []
    progress = Progress()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: told.append(number))

    def stop(gone: float) -> bool:
        progress.show(f"{gone:.0f} of {seconds:g} s ...")
        if told:
            progress.clear()
        return bool(told)

    return stop


def _report(found: Bench, load: Load) -> Report:
    Progress().clear()
    figures = found.figures
    lines = [f"{found.target}: {load}, {figures.seconds:.1f} s", ""]
    if figures.latency:
        lines += [_latencies(figures.latency), "", *_bars(figures.distribution), ""]
    lines += [
        f"requests   {figures.sent:,} sent, {figures.answered:,} answered as promised, {figures.failed:,} not",
        f"rate       {figures.rate:,.0f} answers a second",
        f"answers    {_counts(figures.statuses)}",
        f"values     {figures.wrong:,} wrong, held against "
        + ("the package's golden rows, bit for bit" if found.promised else "the first answer to each row"),
        f"versions   {_counts(figures.versions) or 'none'}",
    ]
    if load.rate is not None:
        lines.append(f"sent late  by {figures.late * 1000:.1f} ms at most; latency counts from when a request was due")
    lines += [f"  e.g. {example}" for example in figures.examples]
    value = {"target": found.target, "load": load, "promised": found.promised, "failed": figures.failed}
    return Report(value | msgspec.to_builtins(figures), "\n".join(lines), 3 if figures.failed else 0)


def _latencies(latency: dict[str, float]) -> str:
    return table(list(latency), [[_time(v) for v in latency.values()]], right=range(len(latency)))


def _bars(buckets: Sequence[Bucket]) -> list[str]:
    most = max(bucket.answers for bucket in buckets)
    width = len(f"{most:,}")
    return [
        f"<= {_time(b.seconds):>9}  {b.answers:>{width},}  {'█' * math.ceil(b.answers / most * WIDTH)}".rstrip()
        for b in buckets
    ]


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())
