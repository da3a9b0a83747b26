"""The training step, run in a process of its own: tables -> features -> fitted model, tested on rows it has not seen.

With an event time the test is the newest rows. Without one the order of the rows means nothing - files are often sorted
by what is to be predicted - and the test is drawn from all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from keepfit.core.errors import NotEnoughData, UserCodeError
from keepfit.datasets.contract import Kept, keep_contracts
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.profile import profile
from keepfit.datasets.read import collect, known_at, naive, places, read_files
from keepfit.features.build import (
    Function,
    blame,
    build_features,
    feature_hash,
    load_function,
    owing_to,
    place_of,
    schema_of,
    wants_pandas,
)
from keepfit.features.join import align
from keepfit.models import formats
from keepfit.models.metrics import Array, metrics
from keepfit.models.predictor import Predictor, bind, predict
from keepfit.models.spec import VALIDATION, Summary, TrainSpec
from keepfit.models.task import Task
from keepfit.runs.child import run_step
from keepfit.runs.log import Log

GOLDEN_ROWS = 100
FEWEST = 5
"""Rows of either answer, yes and no, that a test must have."""
PREDICTION = "keepfit prediction"
TRUTH = "keepfit truth"
SIDE = "keepfit side "


def train(folder: Path) -> None:
    """Read `spec.json`, `code/` and `data/`; leave model, tested and golden rows, baseline and summary in `out/`."""
    spec = msgspec.json.decode((folder / "spec.json").read_bytes(), type=TrainSpec)
    every, every_side, kept = tables(folder / "data", spec)
    labelled = every[spec.main.label or ""].is_not_null()
    rows, sides = _only(labelled, every, every_side)
    cut = _first_test_row(rows, spec)
    if spec.validate:
        rows, sides, cut = _training_rows(rows, sides, cut)
    if cut < 2 or rows.height - cut < 2:
        raise NotEnoughData(
            f"{cut:,} rows to learn from and {rows.height - cut:,} to test on are too few",
            hint="widen `window` or `test` under [train] in keepfit.toml",
        )
    code = folder / "code"
    make = load_function(code, spec.features) if spec.features else None
    fit = load_function(code, spec.fit)
    inputs = rows.select(list(spec.main.inputs))
    features = build_features(make, spec.main.name, {**sides, spec.main.name: inputs})
    truth, levels = encode(rows[spec.main.label or ""], spec.task)
    _refuse_one_sided(truth[cut:], spec)
    with Log(folder) as log:
        model, pandas, own = _fit(fit, features.head(cut), truth[:cut], levels, spec, code, log)
    test = slice(cut, rows.height)
    tested = {name: side[test] for name, side in sides.items()}
    with owing_to(fit):
        name, content = formats.dump(model, spec.trust, pickle=spec.pickle)
        predictor = Predictor(
            model=formats.load(name, content, spec.trust),  # what is tested is what ships
            task=spec.task,
            main=spec.main.name,
            features=make,
            feature_hash=feature_hash(schema_of(features)),
            pandas=pandas,
        )
        prediction = predictor.predict(inputs[test], tested)
        if not np.isfinite(prediction).all():
            raise UserCodeError(f"the fitted {type(model).__name__} predicts NaN or infinite values")
    found = metrics(spec.task, truth[test], prediction)
    log.final({**own, **{f"{VALIDATION if spec.validate else ''}{m}": v for m, v in found.items()}})
    out = folder / "out"
    _write_summary(rows, cut, truth, levels, features, model, pandas, spec, out)
    if spec.validate:
        np.save(out / "validation.npy", prediction)
        return
    (out / name).write_bytes(content)
    joined = _write_test(rows[test], tested, prediction, truth[test], out)
    _write_golden(joined, inputs[test], tested, predictor, out)
    learnt = _asked(rows.head(cut), predict(model, _form(features.head(cut), pandas), spec.task), levels, spec)
    others, other_sides = _only(_unlabelled(every, rows[cut:], spec), every, every_side)
    asked = pl.concat([learnt, _answered(others, other_sides, predictor, levels, spec)])
    _write_baseline(asked, spec, out)
    (out / "contracts.json").write_bytes(msgspec.json.encode(kept))


def tables(data: Path, spec: TrainSpec) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], list[Kept]]:
    """The rows of the window as they are learned and tested, the side datasets aligned, the contracts kept.

    Raises ContractBroken, naming every broken promise, when a table breaks its contract.
    """
    main = spec.main

    def told(dataset: Dataset, numbers: list[int]) -> list[str]:
        return places(_table(data, dataset, spec, placed=True), _files(data, dataset), numbers)

    rows = collect(_table(data, main, spec), main)
    sides = {side.name: collect(_table(data, side, spec), side) for side in spec.sides}
    kept = keep_contracts([(main, rows), *((side, sides[side.name]) for side in spec.sides)], told)
    rows = _ordered(rows, main, spec.seed)
    return rows, {s.name: align(rows, main.event_time, s, sides[s.name]) for s in spec.sides}, kept


def _ordered(rows: pl.DataFrame, main: Dataset, seed: int) -> pl.DataFrame:
    """In order of time; without one by lot, which stays the same for a row when others are added below it."""
    if main.event_time:
        return rows.sort(main.event_time, maintain_order=True)
    lots = np.random.default_rng(seed).random(rows.height)
    return rows[np.argsort(lots, kind="stable")]


def _only(
    picked: pl.Series, rows: pl.DataFrame, sides: dict[str, pl.DataFrame]
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """These rows, and what is aligned to them."""
    if picked.all():
        return rows, sides
    return rows.filter(picked), {name: side.filter(picked) for name, side in sides.items()}


def encode(label: pl.Series, task: Task) -> tuple[Array, list[str] | None]:
    """Labels as numbers, and for a multiclass task the levels they number."""
    if task != "multiclass":
        return label.cast(pl.Float64).to_numpy().astype(np.float64), None
    levels = sorted(label.unique().to_list())
    number = {level: i for i, level in enumerate(levels)}
    return np.array([number[level] for level in label], dtype=np.float64), levels


def _files(data: Path, dataset: Dataset) -> list[Path]:
    return sorted(p for p in (data / dataset.name).rglob("*") if p.is_file())


def _table(data: Path, dataset: Dataset, spec: TrainSpec, *, placed: bool = False) -> pl.LazyFrame:
    frame = read_files(_files(data, dataset), dataset, placed=placed)
    frame = known_at(frame, dataset, spec.known) if spec.known else frame
    if dataset is spec.main and dataset.event_time and spec.start is not None:
        frame = frame.filter(pl.col(dataset.event_time) >= naive(spec.start))
    return frame


def _first_test_row(rows: pl.DataFrame, spec: TrainSpec) -> int:
    if spec.test_from is None or spec.main.event_time is None:
        return rows.height - round(rows.height * spec.test_share)
    return int((rows[spec.main.event_time] < naive(spec.test_from)).sum())


def _refuse_one_sided(truth: Array, spec: TrainSpec) -> None:
    """Nothing can be judged by a test with one answer only."""
    if spec.task == "regression":
        return
    levels, counts = np.unique(truth, return_counts=True)
    hint = "widen `test` under [train] in keepfit.toml"
    if len(levels) < 2:
        raise NotEnoughData(f"all {len(truth):,} test rows have the same label", hint=hint)
    if spec.task == "binary" and counts.min() < FEWEST:
        rare = str(bool(levels[counts.argmin()])).lower()
        raise NotEnoughData(f"only {counts.min()} of {len(truth):,} test rows have the label `{rare}`", hint=hint)


def _training_rows(
    rows: pl.DataFrame, sides: dict[str, pl.DataFrame], cut: int
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], int]:
    """The rows before the test, and where the last of them, as large a share as the test had, begin."""
    share = (rows.height - cut) / max(rows.height, 1)
    return rows.head(cut), {name: side.head(cut) for name, side in sides.items()}, cut - round(cut * share)


def _fit(
    fit: Function,
    features: pl.DataFrame,
    truth: Array,
    levels: list[str] | None,
    spec: TrainSpec,
    code: Path,
    log: Log,
) -> tuple[Any, bool, Mapping[Any, object]]:
    """The fitted model, whether it was fitted on pandas, and the metrics that were given back with it."""
    if spec.task != "regression" and len(np.unique(truth)) < 2:
        raise NotEnoughData(f"all {len(truth):,} training rows have the same label")
    y: Any = truth
    if levels is not None:
        y = np.array(levels)[truth.astype(int)]
    elif spec.task == "binary":
        y = truth.astype(np.int64)
    parameters = inspect.signature(fit).parameters
    pandas = wants_pandas(parameters.get("X"))
    if "y" in parameters and "Series" in str(parameters["y"].annotation):
        y = pl.Series(spec.main.label, y)
        y = y.to_pandas() if wants_pandas(parameters["y"]) else y
    offered = {**spec.parameters, "X": _form(features, pandas), "y": y, "seed": spec.seed, "log": log}
    log.parameters({n: p.default for n, p in parameters.items() if n not in offered})
    with blame(spec.fit, code):
        model = fit(**bind(fit, offered))
    own: Mapping[Any, object] = {}
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[1], Mapping):
        model, own = model
    if not hasattr(model, "predict"):
        raise UserCodeError(
            f"`{spec.fit}` gave back a {type(model).__name__} without a predict method",
            where=place_of(fit),
            hint='return the fitted model, alone or with a dictionary of metrics: return model, {"loss": 0.1}',
        )
    return model, pandas, own


def _form(features: pl.DataFrame, pandas: bool) -> Any:
    return features.to_pandas() if pandas else features


def blocks(rows: pl.DataFrame, time: str | None) -> pl.Series:
    """Which block of time each row belongs to: its day, or one of 50 runs of rows where there is no time."""
    if time is not None:
        return rows[time].dt.date()
    return pl.Series(np.arange(rows.height) * 50 // max(rows.height, 1))


def _write_test(
    rows: pl.DataFrame, sides: dict[str, pl.DataFrame], prediction: Array, truth: Array, out: Path
) -> pl.DataFrame:
    """Write and give back the tested rows with all that was joined to them, what the model says, and the truth."""
    test = rows.with_columns(
        *(side.to_struct(f"{SIDE}{name}") for name, side in sides.items()),
        pl.Series(PREDICTION, prediction),
        pl.Series(TRUTH, truth),
    )
    test.write_parquet(out / "test.parquet")
    return test


def _write_golden(
    test: pl.DataFrame, inputs: pl.DataFrame, sides: dict[str, pl.DataFrame], predictor: Predictor, out: Path
) -> None:
    """Some of the tested rows with the answers they get by themselves; UserCodeError when those are other answers."""
    pick = np.unique(np.linspace(0, test.height - 1, GOLDEN_ROWS).astype(int))
    alone = predictor.predict(inputs[pick], {name: side[pick] for name, side in sides.items()})
    among = test[pick][PREDICTION].to_numpy()
    same = np.isclose(alone, among, rtol=1e-6, atol=1e-9).reshape(len(pick), -1).all(axis=1)
    if not same.all():
        row = int(np.flatnonzero(~same)[0])
        raise UserCodeError(
            f"the answer for a row depends on which rows are asked with it: {alone[row]!s} among {len(pick)}, "
            f"{among[row]!s} among {test.height:,}",
            where=place_of(predictor.features),
            hint="features must follow from their own row: take means and ranks over the table in your fit function",
        )
    test[pick].with_columns(pl.Series(PREDICTION, alone)).write_parquet(out / "golden.parquet")


def _unlabelled(every: pl.DataFrame, test: pl.DataFrame, spec: TrainSpec) -> pl.Series:
    """Which rows from before the test never get a label (a cancelled flight); production is asked about these too.

    Without an event time it cannot be told which those are.
    """
    time, none = spec.main.event_time, every[spec.main.label or ""].is_null()
    return none & (every[time] < test[time][0]).fill_null(False) if time else none & False


def _answered(
    rows: pl.DataFrame,
    sides: dict[str, pl.DataFrame],
    predictor: Predictor,
    levels: list[str] | None,
    spec: TrainSpec,
) -> pl.DataFrame:
    """As `_asked`, for rows the model has not seen; none when the user's code fails on them: it would in production."""
    try:
        found = predictor.predict(rows.select(list(spec.main.inputs)), sides) if rows.height else np.empty(0)
    except UserCodeError:
        rows, found = rows.clear(), np.empty(0)
    return _asked(rows, found, levels, spec)


def _asked(rows: pl.DataFrame, prediction: Array, levels: list[str] | None, spec: TrainSpec) -> pl.DataFrame:
    """Rows as they are asked, the answer and, where it is known, the truth."""
    if levels is None:
        answer = pl.Series("prediction", prediction, dtype=pl.Float64)
    else:
        best = prediction.argmax(axis=1) if len(prediction) else []
        answer = pl.Series("prediction", [levels[i] for i in best], dtype=pl.String)
    return rows.select(*spec.main.inputs, spec.main.label or "").with_columns(answer)


def _write_baseline(asked: pl.DataFrame, spec: TrainSpec, out: Path) -> None:
    baseline = profile(asked, time=spec.main.event_time, filled_later=[spec.main.label or ""])
    (out / "baseline.json").write_bytes(msgspec.json.encode(baseline))


def _write_summary(
    rows: pl.DataFrame,
    cut: int,
    truth: Array,
    levels: list[str] | None,
    features: pl.DataFrame,
    model: Any,
    pandas: bool,
    spec: TrainSpec,
    out: Path,
) -> None:
    times = rows[spec.main.event_time] if spec.main.event_time else None
    counts = np.bincount(truth[:cut].astype(int), minlength=len(levels or ())) / cut if levels else None
    summary = Summary(
        train_rows=cut,
        test_rows=rows.height - cut,
        train_from=times[0] if times is not None else None,
        train_until=times[cut - 1] if times is not None else None,
        test_until=times[-1] if times is not None else None,
        base_rates=counts.tolist() if counts is not None else [float(truth[:cut].mean())],
        levels=levels,
        features=schema_of(features),
        model_class=f"{type(model).__module__}.{type(model).__qualname__}",
        pandas=pandas,
    )
    (out / "summary.json").write_bytes(msgspec.json.encode(summary))


if __name__ == "__main__":
    run_step(train)
