"""Gates on the data a model learns from: the contract of every dataset."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import polars as pl

from keepfit.checks.gate import Gate
from keepfit.datasets.contract import check_contract
from keepfit.datasets.dataset import Dataset


def check_data(tables: Mapping[str, tuple[Dataset, pl.DataFrame]]) -> list[Gate]:
    """One gate per dataset that keeps its contract, one per broken promise otherwise."""
    gates: list[Gate] = []
    for name, (dataset, rows) in tables.items():
        broken = check_contract(rows, dataset)
        for breakage in broken:
            first = ", ".join(f"row {row}: {value!r}" for row, value in breakage.examples[:3])
            gates.append(
                Gate(
                    stage="data",
                    name=f"{name}.{breakage.column}".rstrip("."),
                    passed=False,
                    required=breakage.rule,
                    found=f"{breakage.found}{'; ' + first if first else ''}",
                    evidence=msgspec.to_builtins(breakage),
                )
            )
        if not broken:
            rules = len(dataset.columns)
            text = f"{rows.height:,} rows"
            gates.append(
                Gate(stage="data", name=name, passed=True, required=f"contract of {rules} columns", found=text)
            )
    return gates
