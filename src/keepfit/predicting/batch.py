"""Files of any size predicted part by part; what is done is kept, so that a batch that was stopped goes on there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import polars as pl

from keepfit.core.digests import digest_bytes, digest_file
from keepfit.core.errors import DataError, Refused, StoreError
from keepfit.core.files import locked, make_folder, move_files, write_file
from keepfit.datasets.refusal import refusals
from keepfit.home import Home
from keepfit.ledger import Fact, fact
from keepfit.ledger.fact import fact_id
from keepfit.predicting.answer import NO_REASONS, Answerer, Answers, others
from keepfit.predicting.file import INPUT, known_rows
from keepfit.predicting.job import REFUSED, Input, Job, Settings, Told, find_inputs, input_digest, job_key, now
from keepfit.predicting.packaged import Packaged, packaged
from keepfit.predicting.parts import Part, Rows
from keepfit.predicting.sieve import Sieve
from keepfit.predicting.writing import writing
from keepfit.serving.segments import segment_name

ID = "prediction id"
_ROW = "keepfit row"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that has been answered."""

    id: str
    """Of the fact that records it."""
    out: str
    version: int
    rows: int
    refused: int
    refused_file: str | None
    kept: int
    """Rows whose answers were there already."""


def predict_batch(
    home: Home, name: str, settings: Settings, *, told: Told = lambda _: None, note: Told = lambda _: None
) -> Done:
    """Write the rows of files with their answers beside them, record it, and log what the champion answered.

    The output appears whole, by one rename. Killed at any time, the same call goes on where it was: parts
    are found again by what is in the files, the model and the joined rows. Called once more, it finds that
    all is done. Raises NotFound and DataError for what cannot be read, ContractBroken for the first row that
    the endpoint would not take (unless `bad` says otherwise), StoreError when the disk refuses.
    """
    found = packaged(home, name, settings.model)
    inputs = find_inputs(settings, told)
    sides = {side.name: known_rows(home, side) for side in found.manifest.sides}
    joined = [digest_bytes(rows.write_ipc(None).getvalue()) for rows in sides.values()]
    settings = msgspec.structs.replace(settings, logged=settings.logged and found.release is not None)
    release = found.release.id if found.release else None
    key = job_key(inputs, found.digest, release, joined, settings.bad, settings.logged, settings.out.suffix)
    work = home.folder / "work" / "batches" / key[:16]
    make_folder(work.parent)
    with locked(work.with_suffix(".lock"), wait=False) as alone:
        if not alone:
            raise Refused("another process is at work on the same batch", hint="wait for it")
        before = home.ledger.get(fact_id("batch", key))
        if before and not work.exists() and _is_there(settings.out, before):
            return _done(before, settings.out, before.body["rows"])
        job = _begun(work, key, settings.out, before, note)
        answerer = Answerer(
            found, sides, began=job.began, key=key, strict=settings.bad == "fail", logged=settings.logged
        )
        return _Batch(home, found, answerer, job, settings, work, told).run(inputs)


class _Batch:
    def __init__(
        self, home: Home, found: Packaged, answerer: Answerer, job: Job, settings: Settings, work: Path, told: Told
    ) -> None:
        self._home, self._job, self._settings, self._work, self._told = home, job, settings, work, told
        self._found, self._levels = found, found.manifest.levels
        self._columns = ["id", "prediction", *(["probabilities"] if self._levels else [])]
        self._answerer, self._sieve = answerer, Sieve(found.manifest.inputs)
        self._kept = self._refused = 0

    def run(self, inputs: list[Input]) -> Done:
        """From the files to the fact."""
        rows = Rows(inputs, self._work, self._told)
        self._sieve.need(rows.schema, str(inputs[0].path))
        parts = rows.parts()
        total = sum(part.rows for part in parts)
        if not total:
            raise DataError(f"`{inputs[0].path.name}` has no rows", where=str(inputs[0].path))

        def answered() -> Iterator[pl.DataFrame]:
            for part in parts:
                yield self._answered(rows, part)
                self._told(f"{part.first + part.rows:,} of {total:,} rows, {self._refused:,} refused")

        empty = pl.DataFrame(schema=rows.schema)
        empty = empty.with_columns(self._sieve.typed(empty))
        nothing = Answers(pl.DataFrame(schema=self._shape), pl.DataFrame())
        try:
            output = self._write(self._settings.out, self._beside(empty, nothing).schema, answered())
            refused = self._write_refused(rows, parts) if self._refused else None
        except StoreError as problem:
            kept = sum(part.rows for part in parts if self._place(part).exists())
            problem.hint = f"make room and run it again: the answers to {kept:,} rows are kept"
            raise
        made = self._record(inputs, total, output, refused)
        self._publish(parts)
        return _done(made, self._settings.out, self._kept)

    def _answered(self, rows: Rows, part: Part) -> pl.DataFrame:
        """The rows of a part with their answers, which are durable by then."""
        raw = rows.read(part)
        typed = self._sieve.typed(raw)
        place, bad = self._place(part), self._place(part, REFUSED)
        if place.exists():
            found = Answers(pl.read_parquet(place, columns=self._columns, glob=False), self._reasons(part))
            self._kept += part.rows
        else:
            found = self._answerer.answer(raw, typed, part)
            if found.refused.height:
                write_file(bad, lambda file: _write_rows(found.refused, file))
            write_file(place, lambda file: _write_rows(found.rows, file))
        self._refused += found.refused.height
        return self._beside(raw.with_columns(typed), found)

    def _beside(self, rows: pl.DataFrame, found: Answers) -> pl.DataFrame:
        """Rows with their answers, as they are written."""
        answers = found.rows.select(self._columns)
        if found.refused.height:
            at = others(found.refused["row"].to_list(), rows.height)
            if self._settings.bad == "null":
                every = pl.DataFrame({_ROW: range(rows.height)})
                answers = every.join(
                    answers.with_columns(pl.Series(_ROW, at)), on=_ROW, how="left", maintain_order="left"
                )
            else:
                rows = rows[at]
        each = [
            answers["probabilities"].list.get(i).alias(f"probability of {n}") for i, n in enumerate(self._levels or [])
        ]
        added = [answers["id"].alias(ID), answers["prediction"], *each]
        taken = {column.name: f"{column.name}{INPUT}" for column in added if column.name in rows.columns}
        return rows.rename(taken).with_columns(added)

    def _write(self, path: Path, schema: pl.Schema, tables: Iterator[pl.DataFrame]) -> str:
        """Put a table in place whole; gives its digest."""
        digests = []

        def write(file: IO[bytes]) -> None:
            with writing(file, path.suffix, schema) as take:
                for table in tables:
                    take(table)
            file.flush()
            digests.append(digest_file(Path(file.name)))

        write_file(path, write)
        return digests[0]

    def _write_refused(self, rows: Rows, parts: list[Part]) -> str:
        """The rows that were refused as they are in the files, and before them where they are and why."""

        def tables() -> Iterator[pl.DataFrame]:
            for part in parts:
                reasons = self._reasons(part)
                if reasons.height:
                    yield _explained(rows.read(part)[reasons["row"]], reasons, part)

        first = next(part for part in parts if self._reasons(part).height)
        schema = _explained(pl.DataFrame(schema=rows.schema), self._reasons(first).clear(), first).schema
        return self._write(refused_file(self._settings.out), schema, tables())

    def _record(self, inputs: list[Input], rows: int, output: str, refused: str | None) -> Fact:
        manifest, release = self._found.manifest, self._found.release
        body = {
            "version": manifest.version,
            "from": [file.path.name for file in inputs],
            "to": self._settings.out.name,
            "input": input_digest(inputs),
            "output": output,
            "rows": rows,
            "refused": self._refused,
            "refused_output": refused,
            "bad": self._settings.bad,
            "began": self._job.began,
        }
        refs = {"package": self._found.digest, **{k: v for k, v in manifest.refs.items() if k == "model"}}
        made = fact(
            "batch",
            f"model/{manifest.model}",
            time=self._home.clock.now(),
            key=self._job.key,
            actor=self._home.actor,
            body=body,
            refs=refs | ({"release": release.id} if release else {}),
            attributes={"version": manifest.version, "rows": rows, "refused": self._refused, "output": output},
        )
        return self._home.ledger.append([made])[0]

    def _publish(self, parts: list[Part]) -> None:
        """Hand the answers over to the log, if that is wanted; what was kept to go on with is gone then."""
        if self._settings.logged:
            log = self._home.folder / "serving" / "log" / "batch"
            named = {self._place(part): self._segment(part) for part in parts if self._place(part).exists()}
            move_files({path: log / name for path, name in named.items() if name})
        shutil.rmtree(self._work)

    def _segment(self, part: Part) -> str | None:
        """What the log calls the answers to a part; None when there are none."""
        times = pl.scan_parquet(self._place(part), glob=False).select(
            pl.col("event_time").min().alias("since"), pl.col("event_time").max().alias("until")
        )
        since, until = times.collect().row(0)
        name = f"{self._job.began:012x}{self._job.key[:8]}{part.number:06}"
        return segment_name(since, until, name, name) if since else None

    def _place(self, part: Part, kind: str = "") -> Path:
        return self._work / f"{part.number:06}{kind}.parquet"

    def _reasons(self, part: Part) -> pl.DataFrame:
        path = self._place(part, REFUSED)
        return pl.read_parquet(path, glob=False) if path.exists() else NO_REASONS

    @property
    def _shape(self) -> dict[str, pl.DataType]:
        kind = pl.String() if self._levels else pl.Float64()
        return {"id": pl.String(), "prediction": kind, "probabilities": pl.List(pl.Float64())}


def refused_file(out: Path) -> Path:
    """Where the rows that were refused are told of: beside the output."""
    return out.with_suffix(f"{REFUSED}{out.suffix}")


def _explained(rows: pl.DataFrame, reasons: pl.DataFrame, part: Part) -> pl.DataFrame:
    told = reasons.select(
        pl.lit(part.file.path.name).alias("file"), pl.col("row") + part.start + 1, "feature", "reason"
    )
    return told.hstack(rows.rename({name: f"{name}{INPUT}" for name in told.columns if name in rows.columns}))


def _begun(work: Path, key: str, out: Path, before: Fact | None, note: Told) -> Job:
    """The job as an earlier run left it, or a new one in place of those that would have written the same file."""
    if known := _job(work):
        return known
    place = str(out.resolve())
    for other in work.parent.glob("*/job.json"):
        found = _job(other.parent)
        if found and found.out == place:
            with locked(other.parent.with_suffix(".lock"), wait=False) as alone:
                if not alone:
                    raise Refused(f"another process writes `{out}` at this moment", hint="wait for it")
                shutil.rmtree(other.parent)
            note(f"files, model or joined rows are not those of the run that was stopped: `{out}` begins anew")
    job = Job(key=key, out=place, began=before.body["began"] if before else now())
    write_file(work / "job.json", msgspec.json.encode(job))
    return job


def _write_rows(rows: pl.DataFrame, file: IO[bytes]) -> None:
    with refusals():
        rows.write_parquet(file, compression="zstd", compression_level=1)


def _job(work: Path) -> Job | None:
    try:
        return msgspec.json.decode((work / "job.json").read_bytes(), type=Job)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_there(out: Path, made: Fact) -> bool:
    """Whether the files of a batch are as they were recorded."""
    wanted = {out: made.body["output"]} | (
        {refused_file(out): made.body["refused_output"]} if made.body["refused"] else {}
    )
    return all(path.is_file() and digest_file(path) == digest for path, digest in wanted.items())


def _done(made: Fact, out: Path, kept: int) -> Done:
    body = made.body
    return Done(
        id=made.id,
        out=str(out),
        version=body["version"],
        rows=body["rows"],
        refused=body["refused"],
        refused_file=str(refused_file(out)) if body["refused"] else None,
        kept=kept,
    )
