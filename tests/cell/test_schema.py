"""The schema accepts every shipped cell and refuses what is wrong with a file's keys and values."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from robot_rlaas.cell.extends import cells_dir
from robot_rlaas.cell.schema import json_schema
from robot_rlaas.cell.spec import cell_path
from robot_rlaas.cli import main

PUBLISHED = Path(__file__).parents[2] / "docs" / "cell.schema.json"
SHIPPED = sorted(cells_dir().glob("*.yaml"))
PEG = yaml.safe_load(cell_path("peg_insertion").read_text())


@pytest.fixture(scope="module")
def errors():
    """What the schema has against a content: a list."""
    jsonschema, schema = pytest.importorskip("jsonschema"), json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    return lambda content: [error.message for error in validator.iter_errors(content)]


def test_the_published_schema_is_the_present_one() -> None:
    """Refresh it with: rlaas cell schema --out docs/cell.schema.json"""
    assert json.loads(PUBLISHED.read_text()) == json_schema()


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["cell", "schema", "--out", str(tmp_path / "cell.schema.json")]) == 0
    assert json.loads((tmp_path / "cell.schema.json").read_text()) == json_schema()
    capsys.readouterr()
    assert main(["cell", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_it_accepts_every_shipped_cell(errors, path: Path) -> None:
    assert errors(yaml.safe_load(path.read_text())) == []


WRONG = {
    "unknown key": (("task", "deth_mm"), 20),
    "unknown section": (("varaition",), {}),
    "unit as text": (("task", "depth_mm"), "20mm"),
    "negative": (("task", "part", "mass_kg"), -1),
    "another format": (("rlaas",), 2),
    "one end of a range": (("variation", "plate_xy_mm"), [5]),
    "three ends of a range": (("variation", "plate_xy_mm"), [-5, 0, 5]),
    "unknown shape": (("task", "part", "shape"), "boxx"),
    "a number for a section": (("control",), 5),
    "a name in capitals": (("name",), "Peg"),
}


@pytest.mark.parametrize("what", WRONG)
def test_it_refuses(errors, what: str) -> None:
    (*way, last), value = WRONG[what]
    content = copy.deepcopy(PEG)
    section = content
    for key in way:
        section = section[key]
    section[last] = value
    assert errors(content)


BROKEN = """extends_without half_a_range list_at_top missing_key name_with_capitals negative_mass no_value
scalar_for_range scalar_for_section truth_value unit_in_limit unit_in_value unknown_key unknown_kind unknown_section
unknown_shape unknown_unit version_2
impulse_with_unit impulse_without_unit joint_margin_of_half_a_turn no_speed_zones surface_by_nobody
zone_that_forbids_moving zone_without_speed"""


@pytest.mark.parametrize("name", BROKEN.split())
def test_it_refuses_the_broken_files_whose_keys_or_values_are_wrong(errors, name: str) -> None:
    assert errors(yaml.safe_load((Path(__file__).parent / "broken" / f"{name}.yaml").read_text()))


def test_it_asks_for_what_must_be_there_unless_the_file_extends_another(errors) -> None:
    less = {key: value for key, value in PEG.items() if key != "control"}
    assert errors(less)
    assert errors({"extends": "peg_insertion", **less}) == []
    changes = {"extends": "peg_insertion", "held_out": None, "task": {"part": {"width_mm": 12}}, "keep_out": []}
    assert errors(changes) == []
    assert errors({**changes, "keep_out": [{"name": "clamp"}]}), "what stands in a list is written whole"
    assert errors({**changes, "task": {"part": {"widht_mm": 12}}})
    assert errors({**changes, "task": None}), "what is required cannot be taken out"


def test_it_tells_what_the_keys_mean() -> None:
    sections = json_schema()["$defs"]
    assert "description" not in sections["Tray"]["properties"]["name"], "what others say of theirs is not about this"
    untold = {
        f"{name}.{key}"
        for name in ("RobotSpec", "Variation", "HeldOut", "Sensing", "Control")
        for key, value in sections[name]["properties"].items()
        if not value.get("description")
    }
    assert not untold
    assert "keep-out box" in sections["KeepOutRequirement"]["description"]
