"""Planning a training run: which data, up to when, tested on what."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from keepfit.core.clocks import duration
from keepfit.core.threads import side_by_side
from keepfit.datasets.add import version
from keepfit.datasets.dataset import Dataset
from keepfit.home import Home
from keepfit.models.horizon import horizon
from keepfit.models.spec import MODULE, TrainSpec
from keepfit.models.task import Task
from keepfit.runs.execute import keep_code, keep_environment
from keepfit.runs.functions import code_files
from keepfit.runs.run import Plan
from keepfit.runs.training import TrainSettings


def plan_training(
    home: Home, name: str, *, task: Task, main: Dataset, sides: Sequence[Dataset], settings: TrainSettings
) -> Plan:
    """The plan to train on what is known now; the same plan until code, data, settings or environment change.

    Versions every dataset. Raises NotEnoughData when no label is known yet.
    """
    datasets = [main, *sides]
    versions = side_by_side(lambda dataset: version(home, dataset).id, datasets)
    data = dict(zip([d.name for d in datasets], versions, strict=True))
    found = horizon(home, main, data[main.name])
    known, end = found.known, found.end
    test = settings.test.removeprefix("last").strip()
    spec = TrainSpec(
        task=task,
        main=main,
        sides=list(sides),
        fit=settings.fit,
        features=settings.features,
        parameters=settings.parameters,
        seed=settings.seed,
        trust=settings.trust,
        pickle=settings.pickle,
        known=known,
        start=end - duration(settings.window) if end and settings.window else None,
        test_from=end - duration(test) if end and not test.endswith("%") else None,
        test_share=float(test.removesuffix("%")) / 100 if test.endswith("%") else 0.0,
    )
    references = [r for r in (settings.fit, settings.features) if r]
    code = keep_code(home, home.root, code_files(home.root, references))
    return Plan(
        subject=f"model/{name}",
        module=MODULE,
        spec=msgspec.to_builtins(spec),
        code=code,
        data=data,
        environment=keep_environment(home, code),
        seed=settings.seed,
        threads=settings.threads,
    )
