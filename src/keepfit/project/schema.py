"""The JSON Schema of keepfit.toml, by which editors complete and check it."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from typing import Any

import msgspec

from keepfit.datasets.dataset import Column
from keepfit.project.project import FILE
from keepfit.project.sections import REST, Sections


def json_schema() -> dict[str, Any]:
    """The schema, from the same definitions that `load_project` holds the file against."""
    _, parts = msgspec.json.schema_components([Sections], ref_template="#/$defs/{name}")
    column, definitions = msgspec.json.schema_components([Column], ref_template="#/$defs/{name}")
    definitions |= parts
    definitions["DataSection"]["additionalProperties"] = column[0]
    for struct in _structs(Sections) | {Column}:
        for name, text in _descriptions(struct).items():
            definitions[struct.__name__]["properties"][name]["description"] = text
    for definition in definitions.values():
        if rest := definition.get("properties", {}).pop(REST, None):
            definition["additionalProperties"] = {**rest["additionalProperties"], "description": rest["description"]}
    root = definitions.pop("Sections")
    found = {
        "$schema": "http://json-schema.org/draft-07/schema#",  # the newest that TOML editors agree on
        **root,
        "title": FILE,
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }
    return {name: _sayable(part) for name, part in found.items()}


def _structs(struct: type[msgspec.Struct]) -> set[type[msgspec.Struct]]:
    """A struct and all the structs its fields may hold."""
    found = {struct}
    for info in msgspec.inspect.multi_type_info(f.type for f in msgspec.structs.fields(struct)):
        todo = [info]
        while todo:
            kind = todo.pop()
            todo += getattr(kind, "types", ())
            todo += [inner for n in ("item_type", "value_type") if (inner := getattr(kind, n, None))]
            if isinstance(kind, msgspec.inspect.StructType):
                found |= _structs(kind.cls)
    return found


def _descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The texts written below a struct's fields, by name as encoded."""
    names = {f.name: f.encode_name for f in msgspec.structs.fields(struct)}
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    body = getattr(definition, "body", [])
    found = {}
    for field, text in itertools.pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as words)):
                found[names[name]] = inspect.cleandoc(words)
    return found


def _sayable(schema: Any) -> Any:
    """The schema without what TOML cannot say (there is no null), and without defaults that are whole sections."""
    if isinstance(schema, list):
        return [_sayable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: _sayable(v) for k, v in schema.items() if not (k == "default" and (v is None or isinstance(v, dict)))}
    if "anyOf" in kept:
        choices = [c for c in kept.pop("anyOf") if c != {"type": "null"}]
        kept = {**(choices[0] if len(choices) == 1 else {"anyOf": choices}), **kept}
    if None in kept.get("enum", ()):
        kept["enum"] = [value for value in kept["enum"] if value is not None]
    return kept
