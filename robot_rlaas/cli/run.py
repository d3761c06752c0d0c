"""`rlaas run`: every stage, one after the other."""

import argparse
from pathlib import Path

from robot_rlaas.cli.bundle import own_key
from robot_rlaas.cli.options import (
    DONE,
    REQUIREMENT_FAILS,
    add_cell,
    add_command,
    add_device,
    add_path,
    add_recipe,
    add_seed,
    add_track,
    chosen_recipe,
    count,
)

STAGES = ("check", "demonstrate", "train", "qualify", "bundle", "deploy", "calibrate")


def run_command(commands) -> None:
    """Add the command."""
    example = "rlaas run peg_insertion --seed 1 --out runs/first --resume"
    parser = add_command(commands, "run", "Every stage, from the cell file to the report.", example, _run)
    add_cell(parser)
    parser.add_argument("--resume", action="store_true", help="keep stages that are finished for the same inputs")
    parser.set_defaults(interrupted="; finished stages are kept: 'rlaas run CELL --resume' goes on")
    add_seed(parser)
    add_device(parser)
    add_recipe(parser)
    parser.add_argument("--episodes", type=count, default=1000, help="of the qualification (default: 1000)")
    parser.add_argument("--attempts", type=count, default=10, help="on the virtual arm (default: 10)")
    parser.add_argument("--plant", default="ur5e_worn", help="how the virtual arm differs from the nominal one")
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="the last stage to run (default: all)")
    add_path(parser, "--out", "the run's directory (default: runs/CELL)", required=False)
    add_track(parser)


def _run(options: argparse.Namespace) -> int:
    from robot_rlaas.cell.spec import load_cell
    from robot_rlaas.jobs.progress import watching
    from robot_rlaas.jobs.run import ON_ARM, Options, run
    from robot_rlaas.jobs.tracking import tracked

    recipe, cell = chosen_recipe(options), load_cell(options.cell)
    out = options.out or Path("runs") / cell.name
    o = options
    key = own_key() if o.until in ON_ARM else None
    settings = Options(o.cell, recipe, o.seed, o.device, o.episodes, o.attempts, o.plant, out, o.resume, key, o.until)
    with watching() as watch, tracked(o.track, cell, recipe, o.seed, o.device, str(out), watch) as record:
        passed = run(settings, watch, watch.begin, record)
    return DONE if passed else REQUIREMENT_FAILS
