"""A first cell file for somebody's own insertion: a shipped one, comments and all, with other values in it."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import yaml

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.extends import EXTENDS, cells_dir
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.cell.strict_yaml import read
from robot_rlaas.files import write_atomic

MODEL = "peg_insertion"
DOWN = np.diag([1.0, -1.0, -1.0])  # the tool straight above the plate
REACH_TOLERANCE = 1e-4
HELD_OUT_CLEARANCE, PLATE_PER_PEG = 0.8, 4  # of the clearance; the plate's width against the peg's


class Answers(NamedTuple):
    """What is asked about a new cell.

    Attributes:
        arm, tool: shipped names, or paths of MJCF files.
        hardware: a shipped profile's name, or its path.
        part: "square" or "round".
        width_mm: of the peg: its side, or its diameter.
        length_mm: of what stands out of the fingers.
        clearance_mm: between peg and hole, per side.
        at_mm: where the hole is, x, y, z in the arm's base frame.
        success: the rate of parts that have to succeed.
        cycle_time_s: within which 95 % of the parts have to be done.
        force_N: which 95 % of the peak contact forces have to stay below.
    """

    arm: str = "ur5e"
    tool: str = "parallel_gripper"
    hardware: str = "ur5e"
    part: str = "square"
    width_mm: float = 16.0
    length_mm: float = 40.0
    clearance_mm: float = 0.5
    at_mm: tuple[float, float, float] = (500.0, 0.0, 60.0)
    success: float = 0.99
    cycle_time_s: float = 6.0
    force_N: float = 60.0


def write_cell(name: str, answers: Answers, out: Path) -> None:
    """Write a cell file that passes `rlaas cell check`.

    Raises:
        InputError: if there is a file, or such a cell does not pass; nothing is written then.
    """
    from robot_rlaas.sim.check import check

    if out.exists():
        raise InputError("there is a file: it is not replaced", file=out, fix="name another with --out")
    with TemporaryDirectory() as folder:
        path = Path(folder) / out.name
        try:
            path.write_text(_filled(name, answers, _guess(answers)), encoding="utf-8")
            text = _filled(name, answers, _home(load_cell(str(path)), answers))
            path.write_text(text, encoding="utf-8")
            check(load_cell(str(path)), path)
        except InputError as error:
            raise InputError(f"such a cell does not hold: {error.message}", fix=error.fix) from error
    write_atomic(out, text)


def fill(text: str, values: dict[str, Any]) -> str:
    """YAML with other values at these keys ("task.plate.top_mm"); layout and comments stay.

    Only single values and those in brackets can be replaced.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    spans = []
    for key, value in values.items():
        node: Any = root
        for part in key.split("."):
            items = enumerate(node.value) if part.isdigit() else ((k.value, v) for k, v in node.value)
            node = {str(name): item for name, item in items}[part]
        assert getattr(node, "flow_style", True), f"{key} spans several lines"
        spans.append((node.start_mark.index, node.end_mark.index, _flow(value)))
    for start, end, new in sorted(spans, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _models() -> dict[str, CellSpec]:
    """The shipped insertions of pegs and plugs that are written out, the usual one first."""
    files = sorted(cells_dir().glob("*.yaml"), key=lambda file: (file.stem != MODEL, file.stem))
    cells = {file.stem: load_cell(file.stem) for file in files if EXTENDS not in read(file).content}
    return {name: cell for name, cell in cells.items() if cell.task.kind == "insertion" and not cell.task.plate.shaft}


def _filled(name: str, a: Answers, home_deg: list[float]) -> str:
    models = _models()
    model = next((name for name, cell in models.items() if cell.robot.arm == a.arm), MODEL)
    shipped = models[model]
    square = a.part == "square"
    side = {"width_mm": a.width_mm} if square else {"diameter_mm": a.width_mm}
    shape = {"shape": "box" if square else "cylinder", **side, "length_mm": a.length_mm, "mass_kg": 0.1}
    size = max(shipped.task.plate.size_mm[0], PLATE_PER_PEG * a.width_mm)
    moved = np.subtract(a.at_mm, shipped.task.plate.top_mm)
    boxes = {f"keep_out.{i}.center_mm": (box.center_mm + moved).tolist() for i, box in enumerate(shipped.keep_out)}
    about = f"Insert a {a.width_mm:g} mm {a.part} peg with {a.clearance_mm:g} mm clearance per side into a plate of"
    values = {
        "name": name,
        "description": f"{about} uncertain pose.",
        **{f"robot.{key}": getattr(a, key) for key in ("arm", "tool", "hardware")},
        "robot.home_deg": home_deg,
        "task.part": shape,
        "task.plate.top_mm": a.at_mm,
        "task.plate.size_mm": (size, size, shipped.task.plate.size_mm[2]),
        "task.plate.clearance_mm": a.clearance_mm,
        "task.depth_mm": min(shipped.task.depth_mm, a.length_mm / 2),
        "task.timeout_s": max(shipped.task.timeout_s, a.cycle_time_s + 2),
        **boxes,
        "held_out.clearance_mm": round(HELD_OUT_CLEARANCE * a.clearance_mm, 3),
        "requirements.success.rate": a.success,
        "requirements.cycle_time_s.limit": a.cycle_time_s,
        "requirements.contact_force_N.limit": a.force_N,
    }
    text = fill((cells_dir() / f"{model}.yaml").read_text(encoding="utf-8"), values)
    head = (
        f"# Made from {model}. After every change: rlaas cell check. What is different: rlaas cell diff {model} FILE\n"
    )
    return head + re.sub(r"\A(#.*\n)+", "", text)


def _guess(a: Answers) -> list[float]:
    """A posture to begin with: that of a shipped insertion with this arm, or else with one of as many joints."""
    joints = len(load_hardware(a.hardware).joints)
    homes = [cell.robot for cell in _models().values() if len(cell.robot.home_deg) == joints]
    if not homes:
        raise InputError(f"no shipped cell shows how an arm of {joints} joints stands above a plate")
    home = list(next((robot for robot in homes if robot.arm == a.arm), homes[0]).home_deg)
    home[0] += float(np.rad2deg(np.arctan2(a.at_mm[1], a.at_mm[0])))
    return home


def _home(cell: CellSpec, a: Answers) -> list[float]:
    """Joint angles, degrees, with the part's tip `start_height_mm` above the hole."""
    from robot_rlaas.control.kinematics import Pose, solve
    from robot_rlaas.sim.model import build

    chain = build(cell).chain
    above = np.add(a.at_mm, (0, 0, cell.task.start_height_mm)) / 1000
    q, error = solve(chain, Pose(DOWN[None], above[None]), np.deg2rad([cell.robot.home_deg]), iterations=200)
    if error[0] > REACH_TOLERANCE:
        raise InputError(f"the {a.arm} cannot stand above {_flow(a.at_mm)} mm", fix="give another place with --at-mm")
    return [round(float(angle), 2) for angle in np.rad2deg(q[0])]
