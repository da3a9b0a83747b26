"""`keepfit train`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit import steps
from keepfit.cli.newest import Newest
from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report
from keepfit.models.model import summary_of


def arguments(parser: ArgumentParser) -> None:
    pass


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    progress = Progress()
    progress.show("training ...")
    model, made = steps.train(project, home, heard=Newest(progress, "training") if progress.watched else None)
    summary = summary_of(home, made)
    progress.clear()
    known = " (known already: nothing was run)" if made.known else f" in {made.seconds:.1f} s"
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in model.metrics.items())
    text = "\n".join(
        [
            f"{model}  {model.id}{known}",
            f"  rows     {summary.train_rows:,} to learn from, {summary.test_rows:,} to test on",
            f"  test     {metrics}",
            f"  run      {made.id}",
            "",
            f"next: keepfit check {model}",
        ]
    )
    value = {"model": model, "run": made.id, "known": made.known, "seconds": made.seconds, "summary": summary}
    return Report(value, text)
