"""What the commands of `rlaas` have in common: options, exit codes, and how a stage is run and told."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from robot_rlaas.cell.errors import InputError

if TYPE_CHECKING:
    from robot_rlaas.cell.hardware import Line
    from robot_rlaas.learn.recipe import Recipe

DONE, REQUIREMENT_FAILS, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
BUDGET = 4000  # episodes of a qualification that ends when every verdict stands, at most


def add_command(
    commands, name: str, text: str, example: str, command: Callable[[argparse.Namespace], int] | None = None
):
    """A command with its help and an example of it."""
    parser = commands.add_parser(name, help=text, description=text, epilog=f"example: {example}")
    if command is not None:
        parser.set_defaults(command=command)
    return parser


def add_group(commands, name: str, text: str, example: str):
    """A command that has commands of its own."""
    return add_command(commands, name, text, example).add_subparsers(required=True, metavar="COMMAND")


def add_cell(parser: argparse.ArgumentParser) -> None:
    """CELL."""
    parser.add_argument("cell", metavar="CELL", help="a shipped cell's name, or the path of a cell file")


def add_path(parser: argparse.ArgumentParser, flag: str, text: str, required: bool = True) -> None:
    """An option that takes a path."""
    parser.add_argument(flag, type=Path, required=required, metavar="PATH", help=text)


def count(text: str) -> int:
    """A number of at least one."""
    value = natural(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def natural(text: str) -> int:
    """A number of at least zero."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def add_seed(parser: argparse.ArgumentParser) -> None:
    """--seed."""
    parser.add_argument("--seed", type=natural, default=0, help="of everything that is drawn (default: 0)")


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """--recipe."""
    text = (
        "a shipped training recipe, or a path (default: the one with the cell's name if there is one, else 'default')"
    )
    parser.add_argument("--recipe", help=text)


def chosen_recipe(options: argparse.Namespace) -> "Recipe":
    """The recipe that --recipe names, or the one for CELL, and then it says which one that is."""
    from robot_rlaas.cell.spec import load_cell
    from robot_rlaas.learn.recipe import load_recipe, recipe_for

    name = options.recipe or recipe_for(load_cell(options.cell).name)
    if options.recipe is None:
        print(f"recipe: {name}", flush=True)
    return load_recipe(name)


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device."""
    text = "of the network: auto is cpu, where a small one is fastest"
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=text)


def add_simulator(parser: argparse.ArgumentParser) -> None:
    """--simulator."""
    text = "cpu, or MuJoCo Warp on one of its devices: warp:cuda, warp:cuda:1, warp:cpu (default: cpu)"
    parser.add_argument("--simulator", default="cpu", metavar="NAME", help=text)


TRACK = "sqlite:///runs/mlflow.db"


def add_track(parser: argparse.ArgumentParser) -> None:
    """--track."""
    text = f"put the run on record with MLflow, in a store of your choice (alone: {TRACK}; needs the extra 'track')"
    parser.add_argument("--track", nargs="?", const=TRACK, metavar="URI", help=text)


def add_arm(parser: argparse.ArgumentParser) -> None:
    """--arm and --plant."""
    parser.add_argument("--arm", choices=("virtual", "real"), default="virtual", help="(default: virtual)")
    add_plant(parser)


def add_plant(parser: argparse.ArgumentParser) -> None:
    """--plant."""
    parser.add_argument("--plant", default="ur5e_worn", help="how the virtual arm differs from the nominal one")


def add_line(parser: argparse.ArgumentParser, port: str = "--port") -> None:
    """--port, or what it is called where that is another one's, --robot-id and --controller."""
    text = "of a real arm that LeRobot drives, such as an SO-101 (default: the hardware profile's)"
    parser.add_argument(port, default="", metavar="PATH", dest="arm_port", help=text)
    text = "LeRobot's name of that arm, whose calibration it takes (default: the hardware profile's)"
    parser.add_argument("--robot-id", default="", metavar="ID", help=text)
    text = "of ros2_control that the arm is moved through (default: the hardware profile's `controller`)"
    parser.add_argument("--controller", choices=("forward", "trajectory"), default="", help=text)


def line_of(options: argparse.Namespace) -> "Line":
    """What `add_line` added."""
    from robot_rlaas.cell.hardware import Line

    if options.arm != "real" and (options.arm_port or options.robot_id):
        raise InputError("a serial port and --robot-id are of a real arm", fix="add --arm real, or leave them out")
    if options.arm is None and options.controller:
        raise InputError("--controller is of an arm", fix="add --arm virtual or --arm real, or leave it out")
    return Line(options.arm_port, options.robot_id, options.controller)


def run_stage(work: Callable) -> int:
    """Do the work with a display; its result is the exit code."""
    from robot_rlaas.jobs.progress import watching

    with watching() as watch:
        from robot_rlaas.jobs import pipeline

        result = work(pipeline, watch)
        watch.say(result.text)
    return DONE if result.passed else REQUIREMENT_FAILS
