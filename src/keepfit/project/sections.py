"""The form of keepfit.toml, and plain data held against it: every misfit is told, not only the first."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from keepfit.alerting.settings import AlertSettings
from keepfit.checks.requirement import CheckSettings
from keepfit.core.errors import did_you_mean
from keepfit.core.toml import Key
from keepfit.datasets.dataset import Column, Dataset
from keepfit.home import LEDGER, OBJECTS
from keepfit.monitoring.settings import WatchSettings
from keepfit.releases.settings import ReleaseSettings
from keepfit.retraining.settings import RetrainSettings
from keepfit.runs.training import TrainSettings
from keepfit.serving.settings import ServeSettings

REST = "*"
"""Name of the field, if any, that holds whatever else a table has, by key."""


class Problem(msgspec.Struct, frozen=True):
    """Something wrong, at a key of keepfit.toml or, with `where`, in another file."""

    message: str
    key: Key = ()
    hint: str | None = None
    where: str | None = None


class DataSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `[data.NAME]` section: these settings, and any number of columns."""

    source: str = msgspec.field(name="from")
    """Path or glob of Parquet or CSV files, relative to the project; or, with `query`, a database: `sqlite:shop.db`,
    `duckdb:shop.duckdb`, `postgresql://host/shop`, or `$NAME` for an address in an environment variable."""
    query: str | None = None
    """SELECT that gives the rows, in an order that it says; each version keeps its result."""
    fresh: str | None = None
    """How old the newest row may be before an alert."""
    known_after: str | None = None
    """How long after its event time a row of this dataset can be seen by a model."""


class Sections(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """keepfit.toml in the order of the loop."""

    model: str
    """Name of the model."""
    ledger: str = LEDGER
    """Address of the ledger of facts; `postgresql://user@host/database` shares it between machines."""
    objects: str = OBJECTS
    """Address of the store of objects."""
    remote: str | None = None
    """Where `keepfit push` and `keepfit pull` go to: `s3://bucket/prefix`, `gs://...`, `az://...`, or a folder."""
    data: dict[str, DataSection]
    train: TrainSettings
    check: CheckSettings = CheckSettings()
    release: ReleaseSettings = ReleaseSettings()
    serve: ServeSettings = ServeSettings()
    watch: WatchSettings = WatchSettings()
    alerts: AlertSettings = AlertSettings()
    retrain: RetrainSettings = RetrainSettings()


def read_sections(data: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The sections that are whole, by name (`data` as a tuple of Dataset), and what is wrong with the others."""
    whole: dict[str, Any] = {}
    problems = list(_strange(data, Sections, ()))
    for field in _fields(Sections):
        key: Key = (field.name,)
        found: list[Problem] = []
        if field.name in data:
            value = data[field.name]
            found += _datasets(value) if field.name == "data" else misfits(value, field.type, key)
            if not found:
                whole[field.name] = make_datasets(value) if field.name == "data" else read_section(value, field.type)
        elif field.required:
            found.append(_missing(field.name, field.type, ()))
        else:
            whole[field.name] = field.default
        problems += found
    return whole, problems


def make_datasets(data: dict[str, Any]) -> tuple[Dataset, ...]:
    """The datasets of a `data` table that has no misfits."""
    made = []
    for name, table in data.items():
        settings = msgspec.convert({k: v for k, v in table.items() if not isinstance(v, dict)}, DataSection)
        columns = msgspec.convert({k: v for k, v in table.items() if isinstance(v, dict)}, dict[str, Column])
        made.append(Dataset(name=name, columns=columns, **msgspec.structs.asdict(settings)))
    return tuple(made)


def read_section(value: Any, wanted: Any) -> Any:
    """The value of a section that has no misfits."""
    return msgspec.convert(_gathered(value, wanted), wanted)


def misfits(value: Any, wanted: Any, key: Key) -> Iterator[Problem]:
    """How a value from TOML differs from the type that is wanted; nothing when it fits."""
    wanted, origin = _plain(_chosen(value, wanted))
    if origin is Literal:
        if value not in get_args(wanted):
            hint = did_you_mean(str(value), map(str, get_args(wanted)))
            yield Problem(f"`{key[-1]}` cannot be `{value}`", key, hint)
    elif origin is list and isinstance(value, list):
        for i, item in enumerate(value):
            yield from misfits(item, get_args(wanted)[0], (*key, i))
    elif origin is dict and isinstance(value, dict):
        for name, item in value.items():
            yield from misfits(item, get_args(wanted)[1], (*key, name))
    elif origin is msgspec.Struct and isinstance(value, dict):
        yield from _table_misfits(value, wanted, key)
    elif not _fits(value, wanted):
        name = next(k for k in reversed(key) if isinstance(k, str))
        yield Problem(f"`{name}` must be {_described(wanted)}, not {_shown(value)}", key)


def _datasets(data: Any) -> Iterator[Problem]:
    if not isinstance(data, dict) or not data:
        yield Problem("`data` must be a table of datasets", ("data",), "add a [data.NAME] section")
        return
    for name, table in data.items():
        key: Key = ("data", name)
        if not isinstance(table, dict):
            yield Problem(f"`{name}` must be a table, not {_shown(table)}", key, f"write [data.{name}]")
            continue
        columns = {k: v for k, v in table.items() if isinstance(v, dict)}
        settings = {k: v for k, v in table.items() if k not in columns}
        taken = {f.encode_name for f in _fields(DataSection)} & columns.keys()
        for column in sorted(taken):
            yield Problem(
                f"`{column}` is a setting of a dataset and cannot be a column",
                (*key, column),
                "rename the column in the data",
            )
        yield from _table_misfits({**settings, **dict.fromkeys(taken, "")}, DataSection, key)
        for column in columns.keys() - taken:
            yield from _table_misfits(columns[column], Column, (*key, column))


def _gathered(value: Any, wanted: Any) -> Any:
    """The value with what else a table has gathered below REST, where its struct has such a field."""
    wanted, origin = _plain(wanted)
    if origin is not msgspec.Struct or not isinstance(value, dict):
        return value
    types = {f.encode_name: f.type for f in _fields(wanted)}
    found = {k: _gathered(v, types[k]) for k, v in value.items() if k in types}
    return found | {REST: {k: v for k, v in value.items() if k not in types}} if REST in types else found


def _table_misfits(table: dict[str, Any], wanted: type[msgspec.Struct], key: Key) -> Iterator[Problem]:
    rest = next((f for f in _fields(wanted) if f.encode_name == REST), None)
    if rest is None:
        yield from _strange(table, wanted, key)
    else:
        known = [f.encode_name for f in _fields(wanted) if f is not rest]
        others = {name: value for name, value in table.items() if name not in known}
        for problem in misfits(others, rest.type, key):
            near = did_you_mean(str(problem.key[-1]), known) or ""
            yield msgspec.structs.replace(problem, hint=near) if near.startswith("did") else problem
    for field in _fields(wanted):
        if field.encode_name == REST:
            continue
        if field.encode_name in table:
            yield from misfits(table[field.encode_name], field.type, (*key, field.encode_name))
        elif field.required:
            yield _missing(field.encode_name, field.type, key)


def _strange(table: dict[str, Any], wanted: type[msgspec.Struct], key: Key) -> Iterator[Problem]:
    known = [f.encode_name for f in _fields(wanted)]
    for name in table:
        if name not in known:
            hint = did_you_mean(name, known)
            if wanted is DataSection and not (hint or "").startswith("did"):
                hint = f'if it is a column, write {name} = {{ type = "text" }}'
            where = f" in [{'.'.join(map(str, key))}]" if key else ""
            yield Problem(f"`{name}` is not known{where}", (*key, name), hint)


def _missing(name: str, wanted: Any, key: Key) -> Problem:
    wanted, origin = _plain(wanted)
    where = ".".join(map(str, key))
    if not key and (origin or wanted) in (dict, msgspec.Struct):
        section = "[data.NAME]" if name == "data" else f"[{name}]"
        return Problem(f"there is no {section} section", key, f"add {section}; `keepfit init DATA.csv` shows one")
    return Problem(f"`{name}` is missing" + (f" in [{where}]" if where else ""), key, f"write {name} = ...")


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(struct)


def _plain(wanted: Any) -> tuple[Any, Any]:
    """A type without `| None`, and what kind of type it is."""
    if get_origin(wanted) in (Union, types.UnionType):
        choices = [t for t in get_args(wanted) if t is not type(None)]
        if len(choices) == 1:
            return _plain(choices[0])
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return wanted, msgspec.Struct
    return wanted, get_origin(wanted)


def _chosen(value: Any, wanted: Any) -> Any:
    """Of a choice between a list and a table, what the value is."""
    forms: dict[Any, Any] = {list: list, dict: msgspec.Struct}
    fitting = [t for t in get_args(wanted) if type(value) in forms and _plain(t)[1] is forms[type(value)]]
    return fitting[0] if fitting and get_origin(wanted) in (Union, types.UnionType) else wanted


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


_WORDS = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _described(wanted: Any) -> str:
    wanted, origin = _plain(wanted)
    if origin is list:
        return "a list [...]"
    if origin in (dict, msgspec.Struct):
        return "a table { ... }"
    choices = get_args(wanted) or (wanted,)
    told = (_WORDS.get(c) or (_described(c) if c is not wanted else str(c)) for c in choices)
    return " or ".join(
        dict.fromkeys(word for c, word in zip(choices, told, strict=True) if not (c is int and float in choices))
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
