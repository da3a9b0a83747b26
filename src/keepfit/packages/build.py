"""Building a package from a model version: the same model always gives the same archive."""

from __future__ import annotations

import io
import zipfile

import msgspec

from keepfit.home import Home
from keepfit.ledger import Fact, fact
from keepfit.models.formats import model_file
from keepfit.models.model import ModelVersion, spec_of, summary_of
from keepfit.objects import read
from keepfit.packages.package import ENVELOPE, Manifest
from keepfit.packages.sign import sign
from keepfit.runs.run import Run, find_run

_EPOCH = (1980, 1, 1, 0, 0, 0)


def build(home: Home, model: ModelVersion) -> Fact:
    """The package of a model version, as the fact that records it: refs `package` is the archive's digest.

    Building again gives the same fact.
    """
    run = find_run(home, model.run)
    manifest = _manifest(home, model, run)
    archive = _archive(home, manifest, run)
    digest = home.objects.put(archive)
    made = fact(
        "package",
        f"model/{model.name}",
        time=home.clock.now(),
        key=digest,
        actor=home.actor,
        body={"version": model.version, "members": len(manifest.members), "bytes": len(archive)},
        refs={"package": digest, "model": model.id, "run": run.id},
        attributes={"version": model.version, "bytes": len(archive)},
    )
    return home.ledger.append([made])[0]


def _manifest(home: Home, model: ModelVersion, run: Run) -> Manifest:
    spec = spec_of(run)
    summary = summary_of(home, run)
    return Manifest(
        model=model.name,
        version=model.version,
        task=spec.task,
        main=spec.main.name,
        label=spec.main.label or "",
        levels=summary.levels,
        inputs=spec.main.inputs,
        event_time=spec.main.event_time,
        sides=spec.sides,
        features=spec.features,
        feature_schema=summary.features,
        pandas=summary.pandas,
        trust=spec.trust,
        refs={"run": run.id, "model": model.id, **run.data},
        members=_members(run),
    )


def _members(run: Run) -> dict[str, str]:
    kept = {name: run.outputs[name] for name in (model_file(run.outputs), "golden.parquet", "baseline.json")}
    code = {f"code/{path}": digest for path, digest in run.code.items()}
    return dict(sorted({**kept, **code, "environment.json": run.environment}.items()))


def _archive(home: Home, manifest: Manifest, run: Run) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        envelope = sign(msgspec.json.encode(manifest), home.folder / "key")
        archive.writestr(zipfile.ZipInfo(ENVELOPE, _EPOCH), envelope)
        for name, digest in manifest.members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), read(home.objects, digest))
    return out.getvalue()
