"""The whole loop on one page: look, decide, act; train -> package -> check -> release -> watch -> alert -> retrain.

`decide` is pure. Everything it needs to know is read from the ledger, everything that is done
becomes a fact there, and every action can be taken again: whoever is killed goes on where the
facts end. The daemon, the replay of a year and the tests run this same code on different clocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from keepfit import steps
from keepfit.alerting.alert import open_alerts, update
from keepfit.checks.gate import verdict_of
from keepfit.core.errors import DataError, KeepfitError, NotFound, PackageError, Refused, UserCodeError
from keepfit.home import Home
from keepfit.ledger import Fact, Move
from keepfit.models.model import find_model
from keepfit.monitoring.symptom import Symptom
from keepfit.monitoring.watch import due_windows
from keepfit.project import Project
from keepfit.releases.release import Release, champion
from keepfit.retraining.policy import (
    Ending,
    Signs,
    Trigger,
    end_trigger,
    open_trigger,
    reason_to_train,
    triggers,
)
from keepfit.retraining.settings import RetrainSettings
from keepfit.retraining.signs import read_signs

Verb = Literal["watch", "trigger", "train", "package", "check", "release", "end"]


@dataclass(frozen=True, kw_only=True)
class State:
    """All that decisions rest on."""

    now: datetime
    live: Release | None = None
    due: tuple[datetime, ...] = ()
    """Windows that are over and have not been watched."""
    trigger: Trigger | None = None
    """The reason to train that is being worked on."""
    last: Trigger | None = None
    """The newest reason to train there has been."""
    done: dict[str, Fact] = field(default_factory=dict)
    """How far the trigger has come: model, package, verdict."""
    signs: Signs = field(default_factory=lambda: Signs(live=None))
    retrain: RetrainSettings = field(default_factory=RetrainSettings)
    automatic: bool = True


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing to do, and why."""

    verb: Verb
    reason: str = ""
    window: datetime | None = None
    ending: Ending | None = None


def decide(state: State) -> list[Action]:
    """What to do next, in order; empty when all is well for now."""
    if state.trigger:
        return [_next_step(state, state.trigger)]
    if state.due:
        return [Action(verb="watch", window=start) for start in state.due]
    if reason := reason_to_train(state.retrain, state.signs, state.last, state.now):
        return [Action(verb="trigger", reason=reason)]
    return []


def _next_step(state: State, trigger: Trigger) -> Action:
    if "model" not in state.done:
        return Action(verb="train", reason=trigger.reason)
    model, live = state.done["model"], state.live
    name = f"version {model.body['version']}"
    if live and live.model == model.id:
        released = live.time >= trigger.time
        return Action(verb="end", ending="released" if released else "unchanged", reason=f"{name} is in production")
    if "package" not in state.done:
        return Action(verb="package", reason=name)
    if "verdict" not in state.done:
        return Action(verb="check", reason=name)
    verdict = verdict_of(state.done["verdict"])
    if not verdict.passed:
        kept = f"kept version {live.version}" if live else "nothing is in production"
        return Action(verb="end", ending="refused", reason=f"{name} refused, {kept}: {verdict.reason}")
    if not state.automatic:
        return Action(verb="end", ending="waiting", reason=f"{name} may ship: keepfit release")
    return Action(verb="release", reason=trigger.reason)


def observe(project: Project, home: Home) -> State:
    """The state of the loop, read from the facts."""
    live, known = champion(home, project.name), triggers(home, project.name, limit=1)
    last = known[0] if known else None
    trigger = last if last and last.ending is None else None
    names = home.ledger.names(f"{trigger.id}/") if trigger else {}
    done = {n.rpartition("/")[2]: f for n, id in names.items() if (f := home.ledger.get(id))}
    delay = project.main.label_delay
    due = due_windows(home, project.name, settings=project.watch, delay=delay) if live else []
    alerts = open_alerts(home, project.name)
    return State(
        now=home.clock.now(),
        live=live,
        due=tuple(due),
        trigger=trigger,
        last=last,
        done=done,
        signs=read_signs(home, project.name, live, alerts, project.retrain, lambda: steps.plan_of(project, home)),
        retrain=project.retrain,
        automatic=project.release.automatic,
    )


def act(project: Project, home: Home, state: State, action: Action) -> None:
    """Do one thing. A step that fails for the user's reasons ends its trigger; the rest is raised."""
    try:
        _act(project, home, state, action)
    except (DataError, UserCodeError, PackageError, Refused, NotFound) as problem:
        if state.trigger is None:
            raise
        _end(project, home, state.trigger, "failed", problem)


def _act(project: Project, home: Home, state: State, action: Action) -> None:
    trigger = state.trigger
    if action.verb == "watch" and state.live and action.window:
        steps.watch(project, home, state.live, action.window)
    elif action.verb == "trigger":
        open_trigger(home, project.name, action.reason, state.last)
    elif trigger and action.verb == "train":
        _reached(home, trigger, model=steps.train(project, home)[0].id)
    elif trigger and action.verb == "package":
        model = find_model(home, project.name, state.done["model"].id)
        _reached(home, trigger, package=steps.package(home, model).id)
    elif trigger and action.verb == "check":
        _reached(home, trigger, verdict=steps.check(project, home, state.done["package"]).id)
    elif trigger and action.verb == "release":
        verdict = verdict_of(state.done["verdict"])
        steps.release(project, home, state.done["package"], verdict, reason=action.reason)
    elif trigger and action.ending:
        _end(project, home, trigger, action.ending, action.reason)


def tick(project: Project, home: Home, report: Callable[[Action, State], None] = lambda action, state: None) -> int:
    """Do all there is to do now; gives how many actions that took."""
    taken = 0
    while actions := decide(state := observe(project, home)):
        for action in actions:
            report(action, state)
            act(project, home, state, action)
            taken += 1
    return taken


def finish(
    project: Project,
    home: Home,
    trigger: Trigger,
    report: Callable[[Action, State], None] = lambda action, state: None,
) -> Trigger:
    """Work on one trigger until it has ended; gives it with its ending."""
    while (state := observe(project, home)).trigger:
        action = decide(state)[0]
        report(action, state)
        act(project, home, state, action)
    return next(t for t in triggers(home, project.name) if t.id == trigger.id)


def _end(project: Project, home: Home, trigger: Trigger, ending: Ending, why: KeepfitError | str) -> None:
    note = why if isinstance(why, str) else why.message
    ended = end_trigger(home, project.name, trigger, ending, note)
    failed = Symptom(kind="retraining", severity="page", text=f"retraining failed: {note}", hint="keepfit train")
    update(home, project.name, [failed] if ended.ending == "failed" else [], kinds=("retraining",))


def _reached(home: Home, trigger: Trigger, **steps_: str) -> None:
    moves = [Move(f"{trigger.id}/{step}", home.ledger.name(f"{trigger.id}/{step}"), id) for step, id in steps_.items()]
    home.ledger.append([], moves)
