"""The state of a project on one screen: what is in production, how it is doing, what happens next and why."""

from __future__ import annotations

from datetime import datetime

import msgspec

from keepfit.alerting.alert import Alert
from keepfit.alerting.due import pages_lately
from keepfit.alerting.heartbeat import Beat, last_beat, stuck
from keepfit.alerting.outbox import standing
from keepfit.alerting.postman import backlog
from keepfit.alerting.silence import Silence
from keepfit.alerting.write import tally_of
from keepfit.core.clocks import duration, iso
from keepfit.core.errors import KeepfitError
from keepfit.core.files import is_read_only
from keepfit.home import Home
from keepfit.loop import Action, State, decide, observe
from keepfit.monitoring.symptom import Symptom
from keepfit.monitoring.watch import Coming, Window, coming_window, freshness, list_windows
from keepfit.project import Project
from keepfit.releases.evidence import Evidence
from keepfit.releases.release import Release, champion, find_release
from keepfit.releases.rollout import Rollout, find_rollout, next_step
from keepfit.retraining.policy import RETRY
from keepfit.retraining.trigger import Trigger, triggers
from keepfit.serving.endpoint import endpoint


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `keepfit status` tells."""

    project: str
    now: datetime
    live: Release | None
    endpoint: str | None
    """Address of the running endpoint."""
    window: Window | None
    """The newest one watched."""
    watched: Release | None
    """What was in production then."""
    coming: Coming | None
    """The one with predictions that is watched next, once it is over."""
    alerts: list[Alert]
    sources: list[Symptom]
    """Datasets that are older than they may be."""
    next: list[str]
    """What the loop will do, and why."""
    last: Trigger | None
    rollout: Rollout | None = None
    """The version that is being rolled out."""
    seen: Evidence = Evidence()
    """What production says of it so far, or of a champion that is held against the one before."""
    waits: str = ""
    """What the rollout waits for."""
    silences: list[Silence] = []
    pages: str = ""
    """How the page budget stands, when pages go somewhere."""
    waiting: list[str] = []
    """Channels that have not taken a message, and why."""
    beat: Beat | None = None
    """When the loop last looked, when `up` runs here or was not stopped."""
    stuck: str | None = None
    """Why the loop counts as stuck, if it does."""
    broken: str | None = None
    """What is wrong with the project, if so: what can be read of it is told, and nothing is done."""
    problem: str | None = None
    """Why the data cannot be looked at, if so."""

    @property
    def well(self) -> bool:
        """Whether a model is in production and nobody needs to be told anything."""
        pages = [a for a in self.alerts if a.severity == "page"]
        wrong = pages or self.sources or self.problem or self.broken or self.stuck
        return self.live is not None and not wrong


def status(project: Project, home: Home, broken: str | None = None) -> Status:
    """The state of the project now; `broken` is what keeps it from being loaded, if something does."""
    fixed = is_read_only(home.folder)
    state = _seen(project, home) if broken or fixed else observe(project, home)
    windows = list_windows(home, project.name, limit=1)
    try:
        sources, problem = freshness(home, project.datasets), None
    except KeepfitError as error:
        sources, problem = [], error.message
    running, mail = endpoint(home), standing(home, project.name, project.alerts)
    last_look = last_beat(home.folder)
    actions = [] if broken or fixed else decide(state)
    rollout = state.rollout if state.rollout and state.rollout.running else None
    live = state.live.id if state.live else None
    stays = "nothing: the disk is read-only" if fixed else None
    if broken:
        stays = "nothing until the project is put right; what is in production stays"
    return Status(
        project=project.name,
        now=home.clock.now(),
        live=state.live,
        endpoint=running.url if running else None,
        window=windows[0] if windows else None,
        watched=find_release(home, windows[0].release) if windows else None,
        coming=coming_window(home, project.name, settings=project.watch, delay=project.main.label_delay),
        alerts=list(mail.open),
        sources=sources,
        next=[stays] if stays else [_told(a) for a in actions] or _waiting(project, state.last, state.live),
        last=state.last,
        rollout=rollout,
        seen=state.seen,
        waits=next_step(rollout, state.seen, live, state.now).reason if rollout and not stays else "",
        silences=list(mail.silences),
        pages=tally_of(pages_lately(project.alerts, mail), *project.alerts.budget) if project.alerts.to else "",
        waiting=backlog(home, project.name, project.alerts),
        beat=last_look,
        stuck=stuck(last_look, project.alerts),
        broken=broken,
        problem=problem,
    )


def _seen(project: Project, home: Home) -> State:
    """What the facts alone say."""
    last = next(iter(triggers(home, project.name, limit=1)), None)
    live, rollout = champion(home, project.name), find_rollout(home, project.name)
    return State(now=home.clock.now(), live=live, last=last, rollout=rollout)


def _told(action: Action) -> str:
    if action.verb == "watch" and action.window:
        return f"watch the window of {iso(action.window)}: it is over and its labels are due"
    if action.verb == "alert":
        return f"tell of changes: {action.reason}"
    if action.verb == "trigger":
        return f"train, because {action.reason}"
    return f"{action.verb}: {action.reason}"


def _waiting(project: Project, last: Trigger | None, live: Release | None) -> list[str]:
    told = []
    if live is None and last:
        why = "nothing is in production"
        again = f"train at {iso(last.time + RETRY)}, because {why}; sooner with: keepfit retrain"
        other = "but not before code, data or settings have changed, unless only its time was against the model"
        return [again, other] if last.ending in ("refused", "waiting") else [again]
    since = last.time if last else live.time if live else None
    if since and project.retrain.every:
        told.append(f"train at {iso(since + duration(project.retrain.every))}, because of the schedule")
    wishes = [w for w in project.retrain.when if not w.startswith("every ")]
    if wishes:
        told.append(f"train sooner on: {', '.join(wishes)} (at most {project.retrain.at_most})")
    return told or ["nothing: no reason to retrain is given under [retrain] in keepfit.toml"]
