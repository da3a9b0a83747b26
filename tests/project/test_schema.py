"""The JSON Schema that editors read is the one the definitions give, and tells right from wrong."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec

import keepfit.demo
from keepfit.datasets.dataset import SETTINGS
from keepfit.project import json_schema
from keepfit.project.sections import DataSection

DOCS = Path(__file__).parents[2] / "docs"
DEMO = Path(keepfit.demo.__file__).parent / "flights" / "keepfit.toml"
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """The part of JSON Schema that ours uses."""
    if "$ref" in schema and not fits(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root):
        return False
    if "anyOf" in schema and not any(fits(value, choice, root) for choice in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema and not isinstance(value, TYPES[schema["type"]]):
        return False
    if isinstance(value, list):
        return all(fits(item, schema.get("items", {}), root) for item in value)
    if isinstance(value, dict):
        rest = schema.get("additionalProperties", {})
        known = schema.get("properties", {})
        others = {n: v for n, v in value.items() if n not in known}
        return (
            set(schema.get("required", ())) <= value.keys()
            and all(fits(v, known[n], root) for n, v in value.items() if n in known)
            and (not others if rest is False else all(fits(v, rest, root) for v in others.values()))
        )
    return True


def test_the_published_schema_is_the_generated_one() -> None:
    published = json.loads((DOCS / "keepfit.schema.json").read_text())
    assert published == json_schema(), "run: keepfit schema > docs/keepfit.schema.json"


def test_the_demo_fits_and_mistakes_do_not() -> None:
    schema = json_schema()
    text = DEMO.read_text()
    assert fits(tomllib.loads(text), schema, schema)
    for old, new in (
        ("[watch]", "[wacth]"),
        ('type = "bool"', 'type = "boolean"'),
        ("seed       = 7", 'seed = "7"'),
        ("at_most = 40", "atmost = 40"),
        ('model = "delay"', ""),
    ):
        assert old in text
        assert not fits(tomllib.loads(text.replace(old, new)), schema, schema), new


def test_every_property_is_possible_in_toml() -> None:
    assert "null" not in json.dumps(json_schema())


def test_settings_of_a_dataset_are_told_apart_from_columns() -> None:
    assert {f.encode_name for f in msgspec.structs.fields(DataSection)} == set(SETTINGS)
    column = {"$ref": "#/$defs/Column"}
    assert json_schema()["$defs"]["DataSection"]["additionalProperties"] == column


def test_editors_can_show_what_a_key_means() -> None:
    parts = json_schema()["$defs"]
    assert parts["TrainSettings"]["properties"]["seed"]["type"] == "integer"
    assert "newest part" in parts["TrainSettings"]["properties"]["test"]["description"]
    assert "Path or glob" in parts["DataSection"]["properties"]["from"]["description"]
