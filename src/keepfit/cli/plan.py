"""`keepfit plan`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from keepfit import steps
from keepfit.cli.opening import open_project
from keepfit.cli.planning import planned
from keepfit.cli.report import Progress, Report
from keepfit.cli.runs.showing import block, side_by_side
from keepfit.home import Home
from keepfit.models.model import find_model
from keepfit.releases.apply import Obstacle
from keepfit.releases.approval import list_approvals
from keepfit.releases.plan import Plan, record_plan
from keepfit.releases.release import champion
from keepfit.runs.compare import Comparison, compare
from keepfit.runs.run import find_run
from keepfit.serving.endpoint import prove


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default="challenger", help="7, delay@7, challenger or an id")
    parser.add_argument("--at-once", action="store_true", help="leave out the stages of [release]")


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    progress = Progress()
    plan = record_plan(home, planned(project, home, options.model, progress, at_once=options.at_once))
    against = steps.against(home, plan)
    if not any(o.blocks for o in against):
        progress.show(f"trying {plan} in the endpoint ...")
        if refused := prove(home, plan.package, plan.version):
            against.append(Obstacle(text=f"the endpoint refuses it: {refused}", hint="keepfit check"))
    progress.clear()
    comparison = _comparison(home, plan)
    applies = not any(o.blocks for o in against)
    value = {"id": plan.id, "plan": plan, "applies": applies, "against": against, "comparison": comparison}
    return Report(value, _text(home, plan, against, comparison), 0 if applies else 3)


def _comparison(home: Home, plan: Plan) -> Comparison | None:
    live = champion(home, plan.model_name)
    if live is None or live.model == plan.model:
        return None
    runs = [find_run(home, find_model(home, plan.model_name, id).run) for id in (live.model, plan.model)]
    return compare(home, runs)


def _text(home: Home, plan: Plan, against: Sequence[Obstacle], comparison: Comparison | None) -> str:
    live = champion(home, plan.model_name)
    lines = [f"{live} -> {plan}" if live else f"{plan}, the first in production", ""]
    if comparison:
        lines += [side_by_side(comparison, [str(live), str(plan)]), ""]
    lines += block("stages", [*plan.stages, "then in production"] if plan.stages else ["in production at once"])
    lines += block("canary by", [plan.key or "lot"] if any(s.startswith("canary") for s in plan.stages) else [])
    if plan.approvals.count:
        given = [a for a in list_approvals(home, plan, steps.authors(home, plan)) if not a.void]
        lines += block("approved by", [f"{a.actor} (key {a.key})" for a in given] or ["nobody"])
    lines += block("against it", [f"{o.text}; {o.hint}" for o in against] or ["nothing"])
    if not any(o.blocks for o in against):
        lines += ["", f"keepfit release {plan.version} --plan {plan.id}"]
    return "\n".join([plan.id, "", *lines])
