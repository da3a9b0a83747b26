"""The files a project starts with, written as a person would write them."""

from __future__ import annotations

import json
import math
import re
from datetime import timedelta

import msgspec

from keepfit.datasets.dataset import Column, ColumnType
from keepfit.datasets.infer import Inferred
from keepfit.models.task import Task
from keepfit.project.project import TASKS

CONFTEST = '''"""Its place lets pytest find the project's modules."""
'''

_PLANS: dict[Task, dict[str, str]] = {
    "binary": {"brier": '{ better_than = "base rate" }', "auc": "{ versus_champion = -0.01 }"},
    "multiclass": {"log_loss": '{ better_than = "base rate" }', "accuracy": "{ versus_champion = -0.01 }"},
    "regression": {"rmse": '{ better_than = "base rate" }', "r2": "{ versus_champion = -0.01 }"},
}
_VALUES: dict[ColumnType, str] = {
    "timestamp": "START + timedelta(hours=i)",
    "date": "(START + timedelta(days=i)).date()",
    "category": '"abc"[i % 3]',
    "text": 'f"text {i}"',
    "integer": "i",
    "number": "i / 2",
    "bool": "i % 3 == 0",
}
"""Made-up values of each type, for tests."""
_LABELS: dict[Task, str] = {"binary": "i % 2", "multiclass": '"abc"[i % 3]', "regression": "float(i % 7)"}
_DAY = timedelta(days=1)


class Starter(msgspec.Struct, frozen=True, kw_only=True):
    """What the files are made from."""

    model: str
    module: str
    dataset: str
    source: str
    found: Inferred
    tests: str
    """The folder of the tests."""
    tested: bool
    """Whether the tests can run here, so that a model may be held to them."""

    @property
    def task(self) -> Task:
        return TASKS[self.found.columns[self.found.label].type]

    @property
    def inputs(self) -> dict[str, Column]:
        """The columns that are known when a prediction is asked for."""
        return {n: c for n, c in self.found.columns.items() if n != self.found.label}

    def use(self, name: str) -> str:
        """What becomes of a column."""
        column = self.found.columns[name]
        if column.role:
            return column.role
        if any(name in columns for columns in self.lists.values()):
            return "feature"
        return "not used: an id" if column.unique else "not used: free text"

    @property
    def lists(self) -> dict[str, list[str]]:
        """The columns a model learns from, by kind: no free text, no ids."""
        kinds: dict[str, tuple[ColumnType, ...]] = {
            "CATEGORIES": ("category",),
            "NUMBERS": ("integer", "number", "bool"),
            "TIMES": ("timestamp",),
            "DATES": ("date",),
        }
        names = {
            k: [n for n, c in self.inputs.items() if c.type in types and not c.unique] for k, types in kinds.items()
        }
        return {kind: columns for kind, columns in names.items() if columns}


def settings_text(starter: Starter) -> str:
    """keepfit.toml in the order of the loop."""
    test = "the newest rows" if starter.found.event_time else "drawn by seed from all rows"
    train = {
        "features": f'"{starter.module}:features"',
        "fit": f'"{starter.module}:train"',
        "test": f'"{_test_period(starter.found)}"   # {test}, never learned from',
        "seed": "0",
        "parameters": "{ rate = 0.05, iterations = 100 }   # given to `train` by name",
    }
    check = _PLANS[starter.task] | {"p99": '{ at_most = "250ms" }'}
    check["tests" if starter.tested else "# tests"] = f'"{starter.tests}"   # the folder with your own, run by pytest'
    return f"""\
# Predicts {_told(starter.found.label)} from {starter.dataset}; keepfit walks this file top to bottom, and round again.
model = "{starter.model}"

# What is learned from. Columns that are not named are never read; what is promised of the
# others is checked. The promises were read off the data: make them yours.
[data.{starter.dataset}]
{_data_lines(starter)}

# How a model is made: by the plain functions in {starter.module}.py.
[train]
{_aligned(train)}

# The plan: what a model must meet before it answers anyone.
[check]
{_aligned(check)}

# What meets the plan goes live by itself; with false, `keepfit release` lets it in.
[release]
automatic = true

# Where predictions are asked for.
[serve]
host = "127.0.0.1"
port = 8080

# How much time is looked at as one, and how often an alarm may be false.
[watch]
window = "1d"
alarms = "1 per 1000 windows"

# What calls for a new model, and how often one may be made.
[retrain]
when    = ["performance", "every 30d"]
at_most = "1 per 7d"
"""


def code_text(starter: Starter) -> str:
    """The module with `features` and `train`."""
    lists = starter.lists
    trees = "HistGradientBoostingRegressor" if starter.task == "regression" else "HistGradientBoostingClassifier"
    encoded = "CATEGORIES" in lists
    imports = [
        "import polars as pl",
        *(["from sklearn.compose import ColumnTransformer"] if encoded else []),
        f"from sklearn.ensemble import {trees}",
        "from sklearn.pipeline import Pipeline",
        *(["from sklearn.preprocessing import OrdinalEncoder"] if encoded else []),
    ]
    head = f'"""Predicts {_told(starter.found.label)}. Plain functions: they run without keepfit."""'
    constants = [_list(name, columns) for name, columns in lists.items()]
    top = "\n\n".join([head, "\n".join(imports), "\n".join(constants)])
    return "\n\n\n".join([top, _features(starter), (_TRAIN_ENCODED if encoded else _TRAIN).replace("TREES", trees)])


def test_text(starter: Starter) -> str:
    """Tests of the module on a few made-up rows."""
    timed = any(c.type in ("timestamp", "date") for c in starter.inputs.values())
    rows = "\n".join(
        f"        {quoted(n)}: [{_VALUES[c.type]} for i in range(ROWS)]," for n, c in starter.inputs.items()
    )
    imports = "from datetime import datetime, timedelta\n\n" if timed else ""
    start = "\nSTART = datetime(2024, 1, 1)" if timed else ""
    return f'''"""Plain tests of plain functions: they run without keepfit."""

{imports}import polars as pl

import {starter.module} as ours

ROWS = 60{start}
TABLE = pl.DataFrame(
    {{
{rows}
    }}
)
LABELS = [{_LABELS[starter.task]} for i in range(ROWS)]


def test_each_row_has_features_of_its_own() -> None:
    X = ours.features(TABLE)
    assert X.height == ROWS
    assert ours.features(TABLE[:1]).equals(X[:1])


def test_a_model_can_be_trained_and_asked() -> None:
    X = ours.features(TABLE)
    model = ours.train(X, LABELS, seed=1)
    assert len(model.predict(X)) == ROWS
'''


def quoted(text: str) -> str:
    """The text as a string of TOML and of Python alike."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _data_lines(starter: Starter) -> str:
    found = starter.found
    lines = {"from": quoted(starter.source)}
    for name, column in found.columns.items():
        note = found.notes.get(name)
        if column.role == "label" and found.event_time and not note:
            note = 'known only later? then add known_after = "7d"'
        lines[_key(name)] = _column(column) + (f"   # {_printable(note)}" if note else "")
    left_out = [f"# {_key(name)} is left out: {reason}" for name, reason in found.left_out.items()]
    return "\n".join([_aligned(lines), *left_out])


def _column(column: Column) -> str:
    said = {k: v for k, v in msgspec.structs.asdict(column).items() if v is not None and v is not False}
    return "{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in said.items()) + " }"


def _aligned(lines: dict[str, str]) -> str:
    width = min(24, max(map(len, lines)))
    return "\n".join(f"{key:<{width}} = {text}" for key, text in lines.items())


def _test_period(found: Inferred) -> str:
    """The days that the newest fifth of the rows spans, where there are days enough."""
    if found.recent >= _DAY and found.span >= 3 * found.recent:
        return f"last {math.ceil(found.recent / _DAY)}d"
    return "last 20%"


def _list(name: str, columns: list[str]) -> str:
    line = f"{name} = [{', '.join(map(quoted, columns))}]"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name} = [", *(f"    {quoted(column)}," for column in columns), "]"])


def _features(starter: Starter) -> str:
    lists = starter.lists
    dated = " + ".join(kind for kind in ("TIMES", "DATES") if kind in lists)
    parts = {
        "*CATEGORIES,": "CATEGORIES" in lists,
        "pl.col(NUMBERS).cast(pl.Float64),": "NUMBERS" in lists,
        'pl.col(TIMES).dt.hour().cast(pl.Float64).name.suffix(" hour"),': "TIMES" in lists,
        f'pl.col({dated}).dt.weekday().cast(pl.Float64).name.suffix(" weekday"),': dated,
        f'pl.col({dated}).dt.month().cast(pl.Float64).name.suffix(" month"),': dated,
    }
    selected = "\n".join(f"        {part}" for part, wanted in parts.items() if wanted)
    return f'''def features({starter.dataset}: pl.DataFrame) -> pl.DataFrame:
    """One row of features per row of `{starter.dataset}`; ids and free text are left out."""
    return {starter.dataset}.select(
{selected}
    )'''


_TRAIN_ENCODED = '''\
def train(X: pl.DataFrame, y, seed: int, rate: float = 0.05, iterations: int = 100) -> Pipeline:
    """Boosted trees over encoded categories; a category never seen before counts as missing."""
    encode = ColumnTransformer(
        [("categories", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), CATEGORIES)],
        remainder="passthrough",
    )
    trees = TREES(
        learning_rate=rate,
        max_iter=iterations,
        categorical_features=list(range(len(CATEGORIES))),
        random_state=seed,
    )
    return Pipeline([("encode", encode), ("trees", trees)]).fit(X, y)
'''
_TRAIN = '''\
def train(X: pl.DataFrame, y, seed: int, rate: float = 0.05, iterations: int = 100) -> Pipeline:
    """Boosted trees."""
    trees = TREES(learning_rate=rate, max_iter=iterations, random_state=seed)
    return Pipeline([("trees", trees)]).fit(X, y)
'''


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def _told(label: str) -> str:
    """The label as prose can hold it."""
    return f"`{label}`" if re.fullmatch(r"[\w .-]+", label) else "the label"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
