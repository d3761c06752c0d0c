"""Which room may import which: the table in CONTRIBUTING.md, read from the code."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import robot_rlaas

PACKAGE = Path(robot_rlaas.__file__).parent
SHARED = {"cell", "files", "assets", "lerobot_devices", "__version__"}  # every room may use these
ALLOWED = {
    "cell": set(),
    "control": set(),
    "vision": {"control"},
    "sim": {"control"},
    "env": {"sim", "control"},
    "data": {"env", "control"},
    "learn": {"data", "env"},
    "view": {"env", "sim"},
    "teleop": {"data", "env", "sim", "control", "view"},
    "qualify": {"env", "sim", "control", "view"},
    "bundle": {"control", "env", "sim"},
    "deploy": {"control", "vision", "bundle", "env"},
    "operate": {"deploy", "view", "pages"},
    "calibrate": {"sim", "control", "vision", "data"},
    "pages": set(),
}
ALLOWED["jobs"] = set(ALLOWED)
ALLOWED["cli"] = set(ALLOWED)
ONLY_IN = {
    "stable_baselines3": {"learn"},
    "lerobot": {"data", "learn/foreign_lerobot.py", "env/lerobot_plugin", "teleop/spacemouse.py", "deploy/driver.py"},
    "torch": {"learn"},
    "rclpy": {"deploy/ros", "operate/node.py", "teleop/twist.py"},
    "mujoco": {"sim", "calibrate", "deploy/virtual_arm", "deploy/ros/virtual_arm_node.py"},
    "onnxruntime": {"bundle"},
    "cryptography": {"bundle"},
    "pyrage": {"bundle"},
    "viser": {"view"},
    "mlflow": {"jobs/tracking.py"},
    "optuna": {"jobs/tuning.py"},
}


def imports(path: Path, for_types: bool = True) -> set[str]:
    """Every module that a file imports, wherever in the file; without `for_types`, only what a running program does."""
    found, tree = set(), ast.parse(path.read_text())
    guarded = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    unseen = set() if for_types else {inner for node in guarded for inner in ast.walk(node)}
    for node in set(ast.walk(tree)) - unseen:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_what_they_may(path: Path) -> None:
    room = room_of(path)
    own = {m.split(".")[1] for m in imports(path) if m.startswith("robot_rlaas.")}
    allowed = ALLOWED[room] | SHARED | {room}
    if "virtual_arm" in path.relative_to(PACKAGE).as_posix():
        allowed |= {"sim"}
    assert own <= allowed, f"{room} may not import {sorted(own - allowed)}; see CONTRIBUTING.md"


@pytest.mark.parametrize("package", ONLY_IN)
def test_heavy_packages_stay_in_their_rooms(package: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(m == package or m.startswith(f"{package}.") for m in imports(path))
    }
    strangers = {u for u in users if not any(u == room or u.startswith(f"{room}/") for room in ONLY_IN[package])}
    assert not strangers, f"{package} belongs in {sorted(ONLY_IN[package])}, not in {sorted(strangers)}"


def test_every_room_is_in_the_table() -> None:
    rooms = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()}
    assert rooms == set(ALLOWED)


def test_no_modules_import_each_other_round_a_circle() -> None:
    paths = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in FILES}
    graph = {name: imports(path, for_types=False) & set(paths) for name, path in paths.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"move what they share into a module of its own: {' <- '.join(error.args[1])}")
