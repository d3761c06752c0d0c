"""JSON Schema of cell files, for editors that complete keys, show what they mean and underline what is wrong.

It is of draft 7, which every YAML editor knows. What a schema cannot say, such as that a peg fits its hole, is left to
`rlaas cell check`.
"""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from robot_rlaas.cell.explain import models_in, unit_of
from robot_rlaas.cell.extends import EXTENDS
from robot_rlaas.cell.spec import CellFile

Schema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
CHANGED = "Changed"  # ends the names of what stands in a file that extends another
BASE = {
    "type": "string",
    "description": "The cell that this file changes: a shipped one's name, or a path relative to this file. Mappings "
    "merge, lists and single values replace, null takes an optional key out.",
}


def json_schema() -> Schema:
    """Of a file that stands by itself or, where it says `extends`, of the changes to another."""
    whole = CellFile.model_json_schema()
    definitions = whole.pop("$defs") | {"Cell": whole}
    told = {model.__name__: _docstring(model) for model in _all_models(CellFile)} | {"Cell": _docstring(CellFile)}
    shared = _shared(attributes for _, attributes in told.values())
    for name, definition in definitions.items():
        _describe(definition, told[name][0], shared | told[name][1])
    definitions = {name: _plain(definition) for name, definition in definitions.items()}
    changes = {f"{name}{CHANGED}": _changed(definition, definitions) for name, definition in definitions.items()}
    changes[f"Cell{CHANGED}"]["properties"] |= {EXTENDS: BASE}
    schema = {
        "$schema": DRAFT,
        "title": "robot_rlaas cell",
        "type": "object",
        "if": {"required": [EXTENDS]},
        "then": {"$ref": f"#/$defs/Cell{CHANGED}"},
        "else": {"$ref": "#/$defs/Cell"},
    }
    return schema | {"$defs": definitions | changes}


def _shared(attributes: Iterable[dict[str, str]]) -> dict[str, str]:
    """What goes for a key wherever it stands: models that tell what theirs means agree on it."""
    texts: dict[str, set[str]] = {}
    for name, text in (item for told in attributes for item in told.items()):
        texts.setdefault(name, set()).add(text)
    return {name: alone.pop() for name, alone in texts.items() if len(alone) == 1}


def _describe(definition: Schema, about: str, attributes: dict[str, str]) -> None:
    definition["description"] = about
    for name, property_ in definition.get("properties", {}).items():
        unit = unit_of((name,))
        text = attributes.get(name) or (f"In {unit}." if unit else "")
        if text:
            property_["description"] = text


def _plain(schema: Any) -> Any:
    """Without made-up titles, and pairs and triples as draft 7 writes them."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {name: _plain(value) for name, value in value.items()}
        elif key == "prefixItems":
            assert all(item == value[0] for item in value), "a tuple of different kinds of things"
            result["items"] = _plain(value[0])
        elif key == "patternProperties":  # what people name
            result |= {key: _plain(value), "additionalProperties": False}
        elif key not in ("title", "discriminator"):
            result[key] = _plain(value)
    return result


def _changed(schema: Any, definitions: dict[str, Schema]) -> Any:
    """The same in a file that extends another: nothing is required, and what is optional can be taken out by null."""
    if isinstance(schema, list):
        return [_changed(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "oneOf" in schema:
        members = [definitions[item["$ref"].rpartition("/")[2]] for item in schema["oneOf"]]
        return _any_member([_changed(member, definitions) for member in members])
    required = schema.get("required", ())
    result = {}
    for key, value in schema.items():
        if key == "properties":
            changed = {name: _changed(below, definitions) for name, below in value.items()}
            result[key] = {name: below if name in required else _or_null(below) for name, below in changed.items()}
        elif key == "patternProperties":
            result[key] = {names: _or_null(_changed(below, definitions)) for names, below in value.items()}
        elif key == "$ref":
            result[key] = f"{value}{CHANGED}"
        elif key != "required":
            result[key] = value if key == "items" else _changed(value, definitions)  # a list is written anew, whole
    return result


def _any_member(members: list[Schema]) -> Schema:
    """Changes to a union: the other file may be of another member, whose keys are then taken out."""
    allowed: dict[str, list[Schema]] = {}
    for name, schema in (item for member in members for item in member["properties"].items()):
        if schema not in allowed.setdefault(name, []):
            allowed[name].append(schema)
    properties = {name: {"anyOf": [*schemas, {"type": "null"}]} for name, schemas in allowed.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _or_null(schema: Schema) -> Schema:
    told = {key: value for key, value in schema.items() if key in ("description", "default")}
    return told | {"anyOf": [{key: value for key, value in schema.items() if key not in told}, {"type": "null"}]}


def _all_models(kind: type[BaseModel]) -> set[type[BaseModel]]:
    below = {m for field in kind.model_fields.values() for m in models_in(field.annotation)}
    return {kind}.union(*(_all_models(model) for model in below))


def _docstring(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """What a model's docstring says of it, and of its fields under "Attributes:"."""
    about, _, attributes = (inspect.getdoc(model) or "").partition("\n\nAttributes:\n")
    items = re.findall(r"^    (\w[\w, ]*): (.*(?:\n        .*)*)", attributes, re.MULTILINE)
    told = {name: _sentence(text) for names, text in items for name in names.split(", ")}
    return _sentence(about), told


def _sentence(text: str) -> str:
    sentence = " ".join(text.split())
    return sentence[:1].upper() + sentence[1:]
