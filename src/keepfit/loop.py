"""The whole loop on one page: look, decide, act; train -> package -> check -> release -> watch -> alert -> retrain.

`decide` is pure. Everything it needs to know is read from the ledger, everything that is done
becomes a fact there, and every action can be taken again: whoever is killed goes on where the
facts end. The daemon, the replay of a year and the tests run this same code on different clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Literal

import msgspec

from keepfit import steps
from keepfit.alerting.alert import Alert, open_alerts, update
from keepfit.checks.gate import verdict_of
from keepfit.core.clocks import iso
from keepfit.core.errors import DataError, NotFound, PackageError, Refused, UserCodeError
from keepfit.core.files import locked
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.models.model import find_model
from keepfit.monitoring.changes import change_symptoms
from keepfit.monitoring.symptom import Symptom
from keepfit.monitoring.watch import due_windows
from keepfit.project import Project
from keepfit.releases.evidence import Evidence
from keepfit.releases.plan import Plan
from keepfit.releases.release import Rejection, Release, champion, earlier, rejected
from keepfit.releases.rollout import Rollout, find_rollout, next_step
from keepfit.retraining.policy import RETRY, Signs, reason_to_train
from keepfit.retraining.settings import RetrainSettings
from keepfit.retraining.signs import read_signs
from keepfit.retraining.trigger import Ending, Trigger, end_trigger, open_trigger, progress, reached, triggers

Verb = (
    Literal["watch", "alert", "trigger", "train", "package", "check", "release", "end"]
    | Literal["advance", "promote", "stop", "give up", "take back"]
)
OF_ROLLOUTS = ("advance", "promote", "stop", "give up", "take back")


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that decisions rest on."""

    now: datetime
    live: Release | None = None
    due: list[datetime] = []
    """Windows that are over and have not been watched."""
    trigger: Trigger | None = None
    """The reason to train that is being worked on."""
    last: Trigger | None = None
    """The newest reason to train there has been."""
    done: Mapping[str, Fact] = {}
    """How far the trigger has come: model, package, verdict."""
    changed: list[Symptom] = []
    """What is not as the project wants to be told it is."""
    told: list[str] = []
    """Fingerprints of the changes that stand as alerts."""
    signs: Signs = Signs(live=None)
    retrain: RetrainSettings = RetrainSettings()
    automatic: bool = True
    rejected: Mapping[str, Rejection] = {}
    """Model versions that were taken back; the loop never releases them by itself."""
    rollout: Rollout | None = None
    """The newest one, running or not."""
    seen: Evidence = Evidence()
    """What production says of the version that is rolled out, or of the champion."""
    earlier: Release | None = None
    """Whom the champion can give way to."""
    plan: Plan | None = None
    """For the version that has passed its checks and is to be released."""
    obstacle: str = ""
    """What stands against that plan."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do, and why."""

    verb: Verb
    reason: str = ""
    window: datetime | None = None
    ending: Ending | None = None


def decide(state: State) -> list[Action]:
    """What to do next, in order; empty when all is well for now."""
    if step := _rollout_step(state):
        return [step]
    if state.trigger:
        return [_next_step(state, state.trigger)]
    if state.plan and not state.obstacle:
        return [Action(verb="release", reason=state.last.reason if state.last else "")]
    if state.due:
        return [Action(verb="watch", window=start) for start in state.due]
    if sorted(symptom.fingerprint for symptom in state.changed) != state.told:
        return [Action(verb="alert", reason=", ".join(s.place for s in state.changed) or "no change stands any more")]
    rolling = state.rollout is not None and state.rollout.running
    if not rolling and (reason := reason_to_train(state.retrain, state.signs, state.last, state.now)):
        return [Action(verb="trigger", reason=reason)]
    return []


def _rollout_step(state: State) -> Action | None:
    """What becomes of the version that is being rolled out, or of a champion that does worse than the one before."""
    seen, live, rollout = state.seen, state.live, state.rollout
    if rollout and rollout.running:
        step = next_step(rollout, seen, live.id if live else None, state.now)
        return None if step.verb == "wait" else Action(verb=step.verb, reason=step.reason)
    if live and state.earlier and (seen.stopped or seen.worse):
        why = f"the endpoint stopped it: {seen.stopped}" if seen.stopped else f"it is surely worse: {seen.told}"
        return Action(verb="take back", reason=why)
    return None


def _next_step(state: State, trigger: Trigger) -> Action:
    if "model" not in state.done:
        return Action(verb="train", reason=trigger.reason)
    model, live = state.done["model"], state.live
    name = f"version {model.body['version']}"
    if live and live.model == model.id:
        released = live.time >= trigger.time
        return Action(verb="end", ending="released" if released else "unchanged", reason=f"{name} is in production")
    if state.rollout and state.rollout.running and state.rollout.model == model.id:
        return Action(verb="end", ending="rolling out", reason=f"{name}: {', '.join(state.rollout.stages)}")
    if back := state.rejected.get(model.id):
        told = f"{name} was taken back at {iso(back.time)} by {back.actor or '-'} ({back.reason})"
        return Action(verb="end", ending="barred", reason=f"{told}; keepfit release {model.body['version']}")
    if "package" not in state.done:
        return Action(verb="package", reason=name)
    if "verdict" not in state.done or not _against(state.done["verdict"], live):
        return Action(verb="check", reason=name)
    verdict = verdict_of(state.done["verdict"])
    if not verdict.passed:
        kept = f"kept version {live.version}" if live else "nothing is in production"
        return Action(verb="end", ending="refused", reason=f"{name} refused, {kept}: {verdict.reason}")
    if not state.automatic:
        return Action(verb="end", ending="waiting", reason=f"{name} may ship: keepfit release")
    if state.obstacle:
        return Action(verb="end", ending="waiting", reason=state.obstacle)
    return Action(verb="release", reason=trigger.reason)


def _against(verdict: Fact, live: Release | None) -> bool:
    """Whether the champion that a verdict was given against is still the champion."""
    return verdict.refs.get("champion") == (live.package if live else None)


def observe(project: Project, home: Home) -> State:
    """The state of the loop, read from the facts."""
    name, live = project.name, champion(home, project.name)
    last = next(iter(triggers(home, name, limit=1)), None)
    trigger = last if last and last.ending is None else None
    delay, alerts = project.main.label_delay, open_alerts(home, name)
    plan = cache(lambda: steps.plan_of(project, home))
    now, signs = home.clock.now(), read_signs(home, name, live, alerts, project.retrain, plan)
    if live is None and last and last.ending in ("refused", "waiting") and now - last.time >= RETRY:
        signs = Signs(live=None, stuck=steps.would_repeat(project, home, progress(home, last), plan))
    rollout = find_rollout(home, name)
    seen = steps.see(project, home, live, rollout) if live else Evidence()
    done = progress(home, last) if last and last.ending in (None, "waiting") else {}
    barred = rejected(home, name) if done else {}
    to_release = None if barred.keys() & {f.id for f in done.values()} else _planned(project, home, live, done)
    return State(
        now=now,
        live=live,
        due=due_windows(home, name, settings=project.watch, delay=delay) if live else [],
        trigger=trigger,
        last=last,
        done=done,
        changed=list(change_symptoms(home, name, live, plan, project.watch)) if live else [],
        told=sorted(alert.fingerprint for alert in alerts if alert.kind == "change"),
        signs=signs,
        retrain=project.retrain,
        automatic=project.release.automatic,
        rejected=barred,
        rollout=rollout,
        seen=seen,
        earlier=next(iter(earlier(home, name)), None) if seen.stopped or seen.worse else None,
        plan=to_release,
        obstacle=_obstacle(home, to_release, alerts) if to_release else "",
    )


def _planned(project: Project, home: Home, live: Release | None, done: Mapping[str, Fact]) -> Plan | None:
    """The plan for a version whose checks are done, unless another has become the champion since they were."""
    if not project.release.automatic or not {"package", "verdict"} <= done.keys():
        return None
    if not _against(done["verdict"], live):
        return None
    return steps.plan_release(project, home, done["package"], verdict_of(done["verdict"]))


def _obstacle(home: Home, plan: Plan, alerts: Sequence[Alert]) -> str:
    """What stands against releasing a version; also that this was tried in vain, and somebody told."""
    told = (a.text for a in alerts if a.fingerprint == f"release/{plan.version}")
    return next((f"{o.text}; {o.hint}" for o in steps.against(home, plan) if o.blocks), "") or next(told, "")


def act(project: Project, home: Home, state: State, action: Action) -> Action | None:
    """Do one thing. A step that fails for a reason of the user's ends its trigger, which is given back as an action."""
    try:
        _act(project, home, state, action)
    except (DataError, UserCodeError, PackageError, Refused, NotFound) as problem:
        if action.verb == "release" and state.plan and state.trigger is None:
            steps.tell(home, project.name, state.plan.version, f"{state.plan} is not released: {problem.message}")
            return None
        if state.trigger is None or action.verb in OF_ROLLOUTS:
            raise
        place = f" (at {problem.where})" if problem.where else ""
        hint = f"; {problem.hint}" if problem.hint else ""
        ended = Action(verb="end", ending="failed", reason=problem.message + place + hint)
        _end(project, home, state, ended)
        return ended
    return None


def _act(project: Project, home: Home, state: State, action: Action) -> None:
    trigger, done = state.trigger, state.done
    if action.verb == "watch" and state.live and action.window:
        steps.watch(project, home, state.live, action.window)
    elif action.verb == "alert":
        update(home, project.name, state.changed, kinds=["change"])
    elif action.verb == "trigger":
        open_trigger(home, project.name, action.reason, state.last)
    elif state.live and action.verb in OF_ROLLOUTS:
        steps.move_on(home, state.live, state.rollout, state.seen, action.verb, action.reason)
    elif state.plan and action.verb == "release":
        steps.release(home, state.plan, reason=action.reason)
    elif trigger and action.verb == "train":
        reached(home, trigger, "model", steps.train(project, home)[0].id)
    elif trigger and action.verb == "package":
        model = find_model(home, project.name, done["model"].id)
        reached(home, trigger, "package", steps.package(home, model).id)
    elif trigger and action.verb == "check":
        reached(home, trigger, "verdict", steps.check(project, home, done["package"]).id)
    elif trigger and action.ending:
        _end(project, home, state, action)


def tick(
    project: Project,
    home: Home,
    report: Callable[[Action, State], None] = lambda action, state: None,
    *,
    until: Callable[[State], bool] = lambda state: False,
) -> None:
    """Do all there is to do now, or until a state is reached; one process of a project at a time."""
    with locked(home.folder / "loop.lock"):
        while not until(state := observe(project, home)) and (actions := decide(state)):
            for action in actions:
                report(action, state)
                if ended := act(project, home, state, action):
                    report(ended, state)


def _end(project: Project, home: Home, state: State, end: Action) -> None:
    """Record what came of a trigger; whoever keeps the model must know when it failed, or nothing is in production."""
    assert state.trigger and end.ending
    end_trigger(home, project.name, state.trigger, end.ending, end.reason)
    bad = end.ending == "failed" or (state.live is None and end.ending != "released")
    told = f"retraining {end.ending}: {end.reason}" + ("" if state.live else "; nothing is in production")
    symptom = Symptom(
        kind="retraining" if state.live else "production", severity="page", text=told, hint="keepfit check"
    )
    update(home, project.name, [symptom] if bad else [], kinds=steps.TRAINED)
