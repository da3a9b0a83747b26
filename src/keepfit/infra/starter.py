"""The files a project starts with, written as a person would write them."""

from __future__ import annotations

import json
import math
from datetime import timedelta

import msgspec

from keepfit.datasets.dataset import Column, ColumnType
from keepfit.datasets.infer import Inferred
from keepfit.models.task import Task
from keepfit.project.project import TASKS


class Starter(msgspec.Struct, frozen=True, kw_only=True):
    """What the files are made from."""

    model: str
    module: str
    dataset: str
    source: str
    found: Inferred
    tested: bool
    """Whether the tests can run here, so that they may decide."""

    @property
    def task(self) -> Task:
        return TASKS[self.found.columns[self.found.label].type]

    def columns(self, *types: ColumnType) -> list[str]:
        """The inputs of these types that a model can learn from: no ids."""
        columns = self.found.columns.items()
        return [n for n, c in columns if c.type in types and n != self.found.label and not c.unique]


CONFTEST = '''"""Its place lets pytest find the project's modules."""
'''

_CHECKS: dict[Task, str] = {
    "binary": """brier = { better_than = "base rate" }
auc   = { versus_champion = -0.01 }""",
    "multiclass": """log_loss = { better_than = "base rate" }
accuracy = { versus_champion = -0.01 }""",
    "regression": """rmse = { better_than = "base rate" }
r2   = { versus_champion = -0.01 }""",
}


def settings_text(starter: Starter) -> str:
    """keepfit.toml in the order of the loop."""
    tests = 'tests = "tests"' if starter.tested else '# tests = "tests"     # yours in tests/: needs pytest'
    return f"""\
# Predicts `{starter.found.label}` from {starter.dataset}. keepfit reads this file from top to bottom, as the loop runs.
model = {_quoted(starter.model)}

# What the model learns from. A column that is not named here is never read, and what is
# promised of a column is checked; the promises are read off the data: correct them.
[data.{starter.dataset}]
{_data_lines(starter)}

# How a model is made: by plain functions in {starter.module}.py.
[train]
features   = "{starter.module}:features"
fit        = "{starter.module}:train"
test       = "{_test_period(starter.found)}"   # the newest rows, never learned from
seed       = 0            # the same seed gives the same model, bit for bit
parameters = {{ rate = 0.1, iterations = 100 }}

# The plan: what a model must meet before it answers anyone.
[check]
{_CHECKS[starter.task]}
p99 = {{ at_most = "100ms" }}
{tests}

# A model that meets the plan goes live by itself; with false, `keepfit release` lets it in.
[release]
automatic = true

# Where predictions are asked for.
[serve]
host = "127.0.0.1"
port = 8080

# What counts as one look at the live data, and how often the drift monitor may be wrong.
[watch]
window = "1d"
alarms = "1 per 1000 windows"

# What a new model is made for, and how often at most.
[retrain]
when    = ["performance", "every 30d"]
at_most = "1 per 7d"
"""


def code_text(starter: Starter) -> str:
    """The module with `features` and `train`."""
    categories = starter.columns("category")
    estimator = "HistGradientBoostingRegressor" if starter.task == "regression" else "HistGradientBoostingClassifier"
    imports = ["import polars as pl"]
    if categories:
        imports.append("from sklearn.compose import ColumnTransformer")
    imports += [f"from sklearn.ensemble import {estimator}", "from sklearn.pipeline import Pipeline"]
    if categories:
        imports.append("from sklearn.preprocessing import OrdinalEncoder")
    parts = [f'"""Predicts `{starter.found.label}`. Plain functions: they run without keepfit."""', "\n".join(imports)]
    parts.append("\n".join(_lists(starter)))
    calendar = _calendar(starter)
    body = [_features(starter), *calendar, _train(estimator, encoded=bool(categories))]
    return "\n\n".join(parts) + "\n\n\n" + "\n\n\n".join(body) + "\n"


def test_text(starter: Starter) -> str:
    """Tests of the module on a few made-up rows."""
    inputs = {n: c for n, c in starter.found.columns.items() if n != starter.found.label}
    timed = any(c.type in ("timestamp", "date") for c in inputs.values())
    rows = "\n".join(f"        {_quoted(n)}: [{_VALUES[c.type]} for i in range(ROWS)]," for n, c in inputs.items())
    label = {"binary": "i % 2", "multiclass": '"abc"[i % 3]', "regression": "float(i % 7)"}[starter.task]
    imports = "from datetime import datetime, timedelta\n\n" if timed else ""
    start = "START = datetime(2024, 1, 1)\n" if timed else ""
    return f'''"""Plain tests of plain functions; keepfit can run them before it lets a model in."""

{imports}import polars as pl
import {starter.module} as ours

ROWS = 60
{start}{starter.dataset.upper()} = pl.DataFrame(
    {{
{rows}
    }}
)
LABELS = [{label} for i in range(ROWS)]


def test_each_row_has_features_of_its_own() -> None:
    found = ours.features({starter.dataset.upper()})
    assert found.height == ROWS
    assert ours.features({starter.dataset.upper()}[:1]).equals(found[:1])


def test_a_model_can_be_trained_and_asked() -> None:
    X = ours.features({starter.dataset.upper()})
    model = ours.train(X, LABELS, seed=1)
    assert len(model.predict(X)) == ROWS
'''


_VALUES: dict[ColumnType, str] = {
    "timestamp": "START + timedelta(hours=i)",
    "date": "(START + timedelta(days=i)).date()",
    "category": '"abc"[i % 3]',
    "text": 'f"text {i}"',
    "integer": "i",
    "number": "i / 2",
    "bool": "i % 3 == 0",
}


def _data_lines(starter: Starter) -> str:
    found = starter.found
    lines = {"from": _quoted(starter.source)}
    for name, column in found.columns.items():
        note = found.notes.get(name, "")
        if column.role == "label" and found.event_time and not note:
            note = 'known only later? add known_after = "7d"'
        lines[_key(name)] = _column(column) + (f"   # {note}" if note else "")
    width = min(24, max(map(len, lines)))
    told = [f"{key:<{width}} = {text}" for key, text in lines.items()]
    told += [f"# left out: {_key(name)}, for {reason}" for name, reason in found.left_out.items()]
    return "\n".join(told)


def _column(column: Column) -> str:
    said = {k: v for k, v in msgspec.structs.asdict(column).items() if v is not None and v is not False}
    parts = [f"{k} = {_quoted(v) if isinstance(v, str) else json.dumps(v)}" for k, v in said.items()]
    return "{ " + ", ".join(parts) + " }"


def _test_period(found: Inferred) -> str:
    """The time the newest fifth of the rows spans, in days, where the rows are spread over enough of them."""
    day = timedelta(days=1)
    if found.recent >= day and found.span >= 3 * found.recent:
        return f"last {math.ceil(found.recent / day)}d"
    return "last 20%"


def _lists(starter: Starter) -> list[str]:
    lists = {
        "CATEGORIES": starter.columns("category"),
        "NUMBERS": starter.columns("integer", "number", "bool"),
        "TIMES": starter.columns("timestamp"),
        "DATES": starter.columns("date"),
    }
    return [_wrapped(f"{name} = [", map(_quoted, columns), "]") for name, columns in lists.items() if columns]


def _wrapped(start: str, items: object, end: str) -> str:
    line = start + ", ".join(items) + end
    if len(line) <= 100:
        return line
    return start
