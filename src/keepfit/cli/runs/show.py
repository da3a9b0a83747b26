"""`keepfit runs show`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.cli.runs.showing import block, find, value_of
from keepfit.core.clocks import iso
from keepfit.core.digests import short
from keepfit.pages.spark import figure, spark
from keepfit.runs.search import curve


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="the id of a run, or its beginning; or of a model: delay@3, champion ...")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    found = find(home, project.name, options.run)
    lines = [f"{found.id}   {found.state}, {iso(found.time)} by {found.actor or '-'}, {found.seconds:.1f} s", ""]
    lines += block("parameters", [f"{name} = {figure(value)}" for name, value in found.parameters.items()])
    lines += block("metrics", [f"{name} = {figure(value)}" for name, value in found.metrics.items()])
    curves = {name: curve(home, found, name) for name in found.curves}
    lines += block("curves", _drawn({name: [p.value for p in points] for name, points in curves.items()}))
    if found.error:
        where = f" at {found.error['where']}" if found.error.get("where") else ""
        lines += block("error", [f"{found.error['code']}: {found.error['message']}{where}"])
        lines += block("printed", (found.error.get("printed") or "").splitlines()[-10:])
    lines += block("data", [f"{name}  {id}" for name, id in found.data.items()])
    lines += block("code", [f"{path}  {short(digest)}" for path, digest in found.code.items()])
    lines += block("environment", [short(found.environment)])
    lines += block("outputs", [f"{name}  {short(digest)}" for name, digest in found.outputs.items()])
    detail = {"spec": found.spec, "outputs": found.outputs, "code": found.code, "error": found.error, "curves": curves}
    return Report({**value_of(found), **detail}, "\n".join(lines))


def _drawn(curves: dict[str, list[float]]) -> list[str]:
    """A line for each curve of more than one value."""
    curves = {name: values for name, values in curves.items() if len(values) > 1}
    width = max(map(len, curves), default=0)
    return [
        f"{name:<{width}}  {spark(values)}  {figure(values[0])} to {figure(values[-1])}, {len(values):,} values"
        for name, values in curves.items()
    ]
