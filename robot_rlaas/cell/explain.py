"""What pydantic says of a wrong value, in words for the person who wrote it."""

import re
import reprlib
from collections.abc import Collection
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from robot_rlaas.cell.errors import did_you_mean

Location = tuple[str | int, ...]
PATTERNS = {
    r"^[a-z][a-z0-9_]*$": "must be lower-case letters, digits and underscores, beginning with a letter",
    r"^[0-9a-f]{64}$": "must be 64 hexadecimal digits",
}
UNIT = re.compile(r"_(m|mm|rad|mrad|deg|s|hz|kg|kg_m3|N|Nm|Ns|A|px|mm_s|rad_s|rad_s2)$")


class Wrong(ValueError):
    """What a model's validator raises about one of its keys, so that the message can name the key's line and value.

    Args:
        at: the key, or the way to it: "plate.size_mm", "parts.0.name".
        reason: what is wrong with its value.
        fix: what to do about it.
    """

    def __init__(self, at: str, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.at, self.fix = location(at), fix


class Explanation(NamedTuple):
    """Where the trouble stands, what it is, and what to do about it."""

    at: Location
    message: str
    fix: str


def explain(error: ValidationError, kind: type[BaseModel], content: dict[str, Any]) -> Explanation:
    """The first thing that is wrong with `content` as a `kind`."""
    problems = error.errors()
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])  # a typo is also a missing key
    about, what = problem.get("ctx", {}), problem["type"]
    at = _written(problem["loc"], content, key_at_end=what in ("missing", "extra_forbidden"))
    if what == "extra_forbidden":
        return _unknown(at, kind, content)
    if what == "missing" and isinstance(at[-1], int):  # the end of a list
        lacking = sum(p["type"] == "missing" and p["loc"][:-1] == problem["loc"][:-1] for p in problems)
        at, value = at[:-1], problem["input"]
        return Explanation(at, f"{_quoted(at, value)}: needs {len(value) + lacking} entries, has {len(value)}", "")
    if what == "missing":
        unit = unit_of(at[-1:])
        return Explanation(at, f"the key '{dotted(at)}' is missing", f"add it, in {unit}" if unit else "add it")
    if what in ("union_tag_not_found", "union_tag_invalid"):
        return _no_member((*at, about["discriminator"].strip("'")), kind, content)
    if isinstance(about.get("error"), Wrong):
        at += about["error"].at
    reason, fix = _reason(problem, _valid_keys(kind, at, content), unit_of(at))
    if not holds(content, at):
        return Explanation(at, f"the key '{dotted(at)}' is missing: {reason}", fix)
    about_name = problem["loc"][-1:] == ("[key]",)
    return Explanation(at, f"{f"'{dotted(at)}'" if about_name else _quoted(at, _value(content, at))}: {reason}", fix)


def unit_of(at: Location) -> str:
    """The unit that stands in a key, or in what it belongs to; "" where none does."""
    found = (UNIT.search(part) for part in reversed(at) if isinstance(part, str))
    return next((match[1] for match in found if match), "")


def dotted(at: Location) -> str:
    """("keep_out", 0, "name") -> "keep_out.0.name"."""
    return ".".join(str(part) for part in at)


def location(key: str) -> Location:
    """The inverse of `dotted`."""
    return tuple(int(part) if part.isdigit() else part for part in key.split("."))


def holds(content: Any, at: Location) -> bool:
    """Whether something stands there."""
    for part in at:
        if part not in _keys(content):
            return False
        content = content[part]
    return True


def _keys(content: Any) -> Collection[Any]:
    return range(len(content)) if isinstance(content, list) else content if isinstance(content, dict) else ()


def _unknown(at: Location, kind: type[BaseModel], content: Any) -> Explanation:
    valid, key = _valid_keys(kind, at[:-1], content), at[-1]
    others = [_tags(m) for m in _models_at(kind, at[:-1], content) if key in m.model_fields]
    belongs = [f"it belongs to {tag} '{value}'" for tags in others for tag, (value, *_) in tags.items()]
    fix = ", ".join(belongs[:1]) or did_you_mean(str(key), valid) or "remove it"
    return Explanation(at, f"unknown key '{dotted(at)}'; allowed here: {', '.join(valid)}", fix)


def _no_member(at: Location, kind: type[BaseModel], content: Any) -> Explanation:
    """The key that says which member of a union is meant is missing, or names none of them."""
    tags = [_tags(model)[str(at[-1])] for model in _models_at(kind, at[:-1], content)]
    names = [str(tag) for allowed in tags for tag in allowed]
    if not holds(content, at):
        return Explanation(at, f"the key '{dotted(at)}' is missing", f"add it: {', '.join(names)}")
    value = _value(content, at)
    return Explanation(at, f"{_quoted(at, value)}: allowed are {', '.join(names)}", did_you_mean(str(value), names))


def _reason(problem: ErrorDetails, keys: list[str], unit: str) -> tuple[str, str]:
    """Why the value is wrong, and what to do. `keys`: what may stand below it."""
    kind, given, about = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "value_error":
        return str(about["error"]), getattr(about["error"], "fix", "")
    if given is None:
        return "it has no value", "give it one, or leave the key out"
    if kind.endswith("_parsing") or kind == "int_parsing_size":
        number, how = (
            ("a whole number", "write it in digits") if kind.startswith("int") else ("a number", "write a bare number")
        )
        return f"must be {number}", how + (f"; the unit stands in the key (_{unit})" if unit else "")
    if kind == "literal_error":
        return f"allowed are {about['expected']}", did_you_mean(str(given), re.findall(r"'([^']+)'", about["expected"]))
    if kind == "string_pattern_mismatch" and about["pattern"] in PATTERNS:
        return PATTERNS[about["pattern"]], ""
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        names = f" ({', '.join(keys)})" if keys else ""
        return f"must hold keys and values{names}", "write each on a line of its own below, indented"
    if kind in ("tuple_type", "list_type"):
        return "must be a list", "write its entries in brackets: [a, b]"
    if kind in ("too_long", "too_short"):
        allowed = about.get("max_length", about.get("min_length"))
        word = "at most" if kind == "too_long" else "at least"
        return f"has {about['actual_length']} entries; allowed are {word} {allowed}", ""
    return problem["msg"].replace("Input should be", "must be"), ""


def _quoted(at: Location, value: Any) -> str:
    return f"'{dotted(at)}' is {reprlib.repr(value)}"


def _written(loc: Location, content: Any, key_at_end: bool) -> Location:
    """Pydantic's location without the names of a union's members, which stand in no file."""
    at: list[str | int] = []
    value: Any = content
    for i, part in enumerate(loc):
        if not holds(value, (part,)) and not (key_at_end and i + 1 == len(loc)):
            continue
        at.append(part)
        value = _value(value, (part,))
    return tuple(at)


def _value(content: Any, at: Location) -> Any:
    for part in at:
        if not holds(content, (part,)):
            return None
        content = content[part]
    return content


def _valid_keys(kind: Any, at: Location, content: Any) -> list[str]:
    """The field names at a location."""
    models = _models_at(kind, at, content)
    chosen = [m for m in models if _is_chosen(m, _value(content, at))] or models
    return sorted({name for m in chosen for name in m.model_fields})


def _models_at(kind: Any, at: Location, content: Any) -> list[type[BaseModel]]:
    """The models that may stand at a location, following nested models, unions and containers by their annotations."""
    there: list[Any] = [kind]
    for i, part in enumerate(at):
        named = [get_args(annotation)[1] for annotation in there if get_origin(annotation) is dict]
        if isinstance(part, int) or named:
            there = named or there
            continue
        models = [model for annotation in there for model in models_in(annotation)]
        chosen = [m for m in models if _is_chosen(m, _value(content, at[:i]))] or models
        there = [m.model_fields[part].annotation for m in chosen if part in m.model_fields]
    return [model for annotation in there for model in models_in(annotation)]


def _is_chosen(model: type[BaseModel], value: Any) -> bool:
    """Whether a value's `kind`, `shape` and the like, if it has them, are this member's of the union."""
    return not isinstance(value, dict) or all(value.get(name, tags[0]) in tags for name, tags in _tags(model).items())


def _tags(model: type[BaseModel]) -> dict[str, tuple[Any, ...]]:
    """What tells a member of a union from the others: the fields that have a fixed value."""
    fields = {name: field.annotation for name, field in model.model_fields.items()}
    return {name: get_args(annotation) for name, annotation in fields.items() if get_origin(annotation) is Literal}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value of such a type can hold, those of unions and containers included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in get_args(annotation) for m in models_in(arg)]
