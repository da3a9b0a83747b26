"""A model on trial beside one that is trusted: which requests it gets, and how both conduct themselves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from keepfit.core.digests import digest_bytes
from keepfit.serving.batch import Ask, Prediction, Read
from keepfit.serving.conduct import Stage, Standing, Tally
from keepfit.serving.desired import Trial
from keepfit.serving.lane import Lane
from keepfit.serving.problems import MODEL_FAILED, NOT_FINITE, UNAVAILABLE, Problem, Rejection
from keepfit.serving.signature import Rows
from keepfit.serving.wire import Block, height

MIRRORED = 4096
"""Rows that may wait for a mirrored model; what comes beyond is dropped."""
_RANGE = 16**16
_encode = msgspec.msgpack.Encoder().encode


class Contest:
    """A model on trial, and the one that is trusted and answers what the other does not."""

    def __init__(self, tried: Lane, trusted: Lane) -> None:
        self.tried = tried
        self.trusted = trusted
        release = tried.release
        trial = release if isinstance(release, Trial) else None
        self.stage: Stage = trial.stage if trial else "bake"
        self.id = release.id
        self.share = trial.share if trial else 1.0
        self._salt = bytes.fromhex(release.package)
        names = list(trusted.signature.columns)
        self._key = names.index(trial.key) if trial and trial.key in names else None

    def standing(self, stopped: str | None = None) -> Standing:
        """How it stands now."""
        release = self.tried.release
        return Standing(
            id=self.id,
            stage=self.stage,
            version=release.version,
            package=release.package,
            share=self.share,
            ready=self.tried.ready,
            beside=self.trusted.release.version,
            challenger=self.tried.tally.conduct(),
            champion=self.trusted.tally.conduct(),
            stopped=stopped,
        )

    def takes(self, rows: Rows) -> bool:
        """Whether a request is among the share: by its first row's key, else by the id its sender gave, else by lot.

        A larger share takes all that a smaller one takes.
        """
        if self.share >= 1:
            return True
        if self._key is not None:
            chosen = self.trusted.signature.first(rows.good, self._key)
        elif rows.ids:
            chosen = rows.ids[0]
        else:
            return random.random() < self.share
        return place(self._salt, chosen) < self.share

    def settle(self, ours: Sequence[Prediction | Problem], theirs: Sequence[Prediction | Problem]) -> bool:
        """Count a request; whether the model on trial failed on a row for which the other has an answer."""
        tally = self.tried.tally
        tally.requests += 1
        pairs = zip(ours, theirs, strict=True)
        lost = [o for o, t in pairs if isinstance(t, Prediction) and isinstance(o, Problem) and o is not UNAVAILABLE]
        tally.faults += bool(lost)
        tally.not_finite += lost.count(NOT_FINITE)
        return bool(lost)

    def mirror(self, rows: Block, read: Read, answers: Sequence[Prediction | Problem], logged: bool) -> None:
        """Ask the model on trial what the other has answered, when it comes to it; dropped when it is behind."""
        given = [answer for answer in answers if isinstance(answer, Prediction)]
        if len(given) < len(answers):
            return
        lane = self.tried
        if not lane.ready or lane.queue.rows + len(given) > MIRRORED:
            lane.tally.dropped += len(given)
            return
        block = read_again(rows, read, lane, of=self.trusted)
        if block is None:
            self.settle([MODEL_FAILED] * len(given), given)
            return
        ask = Ask(block, ids=[answer.id for answer in given], logged=logged, route="shadow", trial=True)
        ask.done.add_done_callback(lambda _: self._compare(ask, given))
        lane.put(ask)

    def _compare(self, ask: Ask, given: Sequence[Prediction]) -> None:
        if UNAVAILABLE in ask.answers:  # its process died meanwhile, which is counted as such
            self.tried.tally.dropped += len(given)
            return
        self.settle(ask.answers, given)
        pairs = [(o, t) for o, t in zip(ask.answers, given, strict=True) if isinstance(o, Prediction)]
        if pairs:
            different = sum(ours.prediction != theirs.prediction for ours, theirs in pairs)
            self.tried.tally.compare([_difference(*pair) for pair in pairs], different)


def unproven(trial: Trial, reason: str) -> Standing:
    """The standing of a model that could not be loaded, or did not prove itself."""
    nothing = Tally().conduct()
    return Standing(
        id=trial.id,
        stage=trial.stage,
        version=trial.version,
        package=trial.package,
        share=trial.share,
        ready=False,
        beside=None,
        challenger=nothing,
        champion=nothing,
        stopped=reason,
    )


def place(salt: bytes, value: Any) -> float:
    """Where a value falls between 0 and 1: anywhere, but for the same salt always there."""
    return int(digest_bytes(salt + _encode(value))[:16], 16) / _RANGE


def read_again(rows: Block, read: Read | None, lane: Lane, *, of: Lane) -> Block | None:
    """Rows that were read with the signature `of` one model as another takes them; None when it does not take all."""
    if of.shape == lane.shape:
        return rows
    if read is None:
        return None
    try:
        again = read(lane.signature)
    except Rejection:
        return None
    return again.good if height(again.good) == height(rows) and not again.bad else None


def _difference(ours: Prediction, theirs: Prediction) -> float:
    if ours.probabilities is None or theirs.probabilities is None:
        numbers = isinstance(ours.prediction, float) and isinstance(theirs.prediction, float)
        return abs(ours.prediction - theirs.prediction) if numbers else float(ours.prediction != theirs.prediction)
    levels = {**ours.probabilities, **theirs.probabilities}
    return max(abs(ours.probabilities.get(k, 0.0) - theirs.probabilities.get(k, 0.0)) for k in levels)
