"""Gates on a model: requirements, slices, the trivial model, the champion, and the user's own."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from keepfit.checks.bootstrap import Interval, difference, interval
from keepfit.checks.gate import Gate
from keepfit.checks.judge import JudgeSpec
from keepfit.checks.requirement import CheckSettings, Requirement, requirements
from keepfit.home import Home
from keepfit.models.metrics import Array, Blocks, Measure, count, measure
from keepfit.models.metrics import metrics as all_metrics
from keepfit.models.model import spec_of, summary_of
from keepfit.models.task import HIGHER_IS_BETTER, METRICS, Metric, Task
from keepfit.models.train import PREDICTION, TRUTH, blocks
from keepfit.objects import read
from keepfit.packages.unpack import unpack
from keepfit.runs.execute import execute, keep_code
from keepfit.runs.functions import code_files
from keepfit.runs.run import Plan, Run


@dataclass(frozen=True)
class Tested:
    """The challenger's test rows, and what each side says of them."""

    task: Task
    rows: pl.DataFrame
    truth: Array
    challenger: Array
    trivial: Array
    champion: Array | None
    blocks: Blocks


def tested_metrics(home: Home, run: Run) -> tuple[dict[str, float], Interval | None]:
    """The task's metrics on the run's own test rows (undefined ones left out), and an interval of the first."""
    tested = _tested(home, run, None, compared=False)
    found = all_metrics(tested.task, tested.truth, tested.challenger)
    low, high = _interval(measure(METRICS[tested.task][0], tested.truth, tested.challenger, tested.blocks), tested)
    rounded = {str(m): round(v, 6) for m, v in found.items() if math.isfinite(v)}
    return rounded, (round(low, 6), round(high, 6)) if math.isfinite(low) else None


def code_of_checks(home: Home, settings: CheckSettings) -> dict[str, str]:
    """The code of the user's own checks, kept as objects; path -> digest."""
    return keep_code(home, home.root, code_files(home.root, settings.also))


def check_model(
    home: Home, run: Run, settings: CheckSettings, *, code: dict[str, str], champion: str | None
) -> list[Gate]:
    """Every demand on the model that this run made. `champion`: object digest of the package in production."""
    judged = _judge(home, run, settings, code, champion)
    tested = _tested(home, run, judged, compared=champion is not None)
    gates = [g for m, r in requirements(settings).items() for g in _requirement_gates(m, r, tested)]
    gates += list(_slice_gates(settings, tested))
    told = msgspec.json.decode(read(home.objects, judged.outputs["also.json"]), type=dict[str, bool]) if judged else {}
    gates += [
        Gate(stage="model", name=name.partition(":")[2], passed=ok, required="true", found=str(ok).lower())
        for name, ok in told.items()
    ]
    return gates


def _judge(home: Home, run: Run, settings: CheckSettings, code: dict[str, str], champion: str | None) -> Run | None:
    """The judging run; None when there is nothing to ask it."""
    if not champion and not settings.also:
        return None
    spec = JudgeSpec(test=run.outputs["test.parquet"], champion=champion, also=settings.also)
    plan = Plan(
        subject=run.subject,
        module="keepfit.checks.judge",
        spec=msgspec.to_builtins(spec),
        code=code,
        data={},
        environment=run.environment,
    )

    def prepare(folder: Path) -> None:
        (folder / "test.parquet").write_bytes(read(home.objects, spec.test))
        if champion:
            unpack(home, champion, folder / "champion")

    return execute(home, plan, prepare=prepare)


def _tested(home: Home, run: Run, judged: Run | None, *, compared: bool) -> Tested:
    rows = _test_rows(home, run)
    spec, summary = spec_of(run), summary_of(home, run)
    trivial = np.tile(np.array(summary.base_rates), (rows.height, 1))
    block = blocks(rows, spec.main.event_time).rank("dense").to_numpy().astype(np.int64) - 1
    champion = np.load(io.BytesIO(read(home.objects, judged.outputs["champion.npy"]))) if judged and compared else None
    return Tested(
        task=spec.task,
        rows=rows,
        truth=rows[TRUTH].to_numpy(),
        challenger=rows[PREDICTION].to_numpy(),
        trivial=trivial if spec.task == "multiclass" else trivial[:, 0],
        champion=champion,
        blocks=block,
    )


def _requirement_gates(metric: Metric, demand: Requirement, tested: Tested) -> Iterator[Gate]:
    new = measure(metric, tested.truth, tested.challenger, tested.blocks)
    found = new(None)
    yield from _threshold_gates(metric, demand, found, {"value": _finite(found), "rows": len(tested.truth)})
    if demand.better_than:
        yield _comparison(
            f"{metric} versus {demand.better_than}", metric, new, tested, tested.trivial, 0.0, strict=True
        )
    if demand.versus_champion is not None and tested.champion is not None:
        margin = demand.versus_champion
        yield _comparison(f"{metric} versus champion", metric, new, tested, tested.champion, margin, strict=False)


def _threshold_gates(metric: str, demand: Requirement, found: float, evidence: dict[str, Any]) -> Iterator[Gate]:
    for sign, limit in ((">=", demand.at_least), ("<=", demand.at_most)):
        if limit is not None:
            passed = found >= limit if sign == ">=" else found <= limit
            yield Gate(
                stage="model",
                name=metric,
                passed=bool(passed),
                required=f"{sign} {limit:g}",
                found=f"{found:.4f}",
                evidence=evidence,
            )


def _comparison(
    name: str, metric: Metric, new: Measure, tested: Tested, other: Array, margin: float, *, strict: bool
) -> Gate:
    """Better by more than the margin with 95 % confidence, over redrawn days."""
    sign = 1 if metric in HIGHER_IS_BETTER else -1
    gain = difference(new, measure(metric, tested.truth, other, tested.blocks), sign)
    low, high = _interval(gain, tested)
    point = gain(None)
    return Gate(
        stage="model",
        name=name,
        passed=bool(low > margin if strict else low >= margin),
        required=f"gain {'>' if strict else '>='} {margin:g}, surely",
        found=f"{point:+.4f} ({low:+.4f} to {high:+.4f})",
        evidence={"gain": _finite(point), "low": _finite(low), "high": _finite(high), "blocks": count(tested.blocks)},
    )


def _slice_gates(settings: CheckSettings, tested: Tested) -> Iterator[Gate]:
    """A slice fails when it is surely below the demand, allowing for how many slices are looked at."""
    if settings.slices is None:
        return
    for metric, demand in requirements(settings.slices).items():
        limit = demand.at_least if demand.at_least is not None else demand.at_most
        if limit is None:
            continue
        levels = [(by, level, mask) for by in settings.slices.by for level, mask in _levels(tested, by, settings)]
        found = {f"{by}={level}": _slice(metric, demand, tested, mask, len(levels)) for by, level, mask in levels}
        bad = [name for name, (ok, _, _) in found.items() if not ok]
        worst = min(found, key=lambda n: found[n][1] * (1 if demand.at_least is not None else -1), default="-")
        yield Gate(
            stage="model",
            name=f"{metric} by {', '.join(settings.slices.by)}",
            passed=not bad,
            required=f"{'>=' if demand.at_least is not None else '<='} {limit:g} on each of {len(levels)} slices",
            found=", ".join(f"{n} {found[n][1]:.4f}" for n in bad or [worst] if n in found)
            or "no slice is large enough",
            evidence={n: {"value": _finite(v), "rows": rows} for n, (_, v, rows) in found.items()},
        )


def _levels(tested: Tested, by: str, settings: CheckSettings) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    column = tested.rows[by].cast(pl.String)
    counts = column.value_counts().sort("count", by, descending=[True, False])
    for level, rows in counts.iter_rows():
        if settings.slices and rows >= settings.slices.rows:
            yield str(level), column.eq_missing(level).to_numpy()


def _slice(
    metric: Metric, demand: Requirement, tested: Tested, mask: NDArray[np.bool_], looks: int
) -> tuple[bool, float, int]:
    blocks = np.unique(tested.blocks[mask], return_inverse=True)[1].astype(np.int64)
    figure = measure(metric, tested.truth[mask], tested.challenger[mask], blocks)
    value = figure(None)
    low, high = interval(figure, count(blocks), level=1 - 0.1 / looks)
    surely_low = demand.at_least is not None and value < demand.at_least and not high >= demand.at_least
    surely_high = demand.at_most is not None and value > demand.at_most and not low <= demand.at_most
    return not (surely_low or surely_high), value, int(mask.sum())


def _test_rows(home: Home, run: Run) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(read(home.objects, run.outputs["test.parquet"])))


def _interval(figure: Measure, tested: Tested) -> Interval:
    return interval(figure, count(tested.blocks))


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
