"""Gates on the data a model learnt from: the contract of every dataset."""

from __future__ import annotations

import msgspec

from keepfit.checks.gate import Gate
from keepfit.datasets.contract import Kept
from keepfit.home import Home
from keepfit.objects import read
from keepfit.runs.run import Run


def check_data(home: Home, run: Run) -> list[Gate]:
    """One gate per dataset. Training stops at a broken contract, so what a run has learnt from has kept its own."""
    kept = msgspec.json.decode(read(home.objects, run.outputs["contracts.json"]), type=list[Kept])
    return [
        Gate(
            stage="data",
            name=k.dataset,
            passed=True,
            required=f"contract of {k.columns} columns",
            found=f"{k.rows:,} rows keep it",
        )
        for k in kept
    ]
