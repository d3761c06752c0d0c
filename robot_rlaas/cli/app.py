"""The `rlaas` command. Heavy imports happen inside the commands: `--help` must not pay for them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robot_rlaas import __version__
from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cli.bundle import add_trust, bundle_commands, own_key, trust_of
from robot_rlaas.cli.calibrate import calibrate_commands
from robot_rlaas.cli.cell import cell_commands
from robot_rlaas.cli.demos import demos_commands
from robot_rlaas.cli.distill import distill_command
from robot_rlaas.cli.improve import improve_command
from robot_rlaas.cli.options import (
    BAD_INPUT,
    DONE,
    INTERRUPTED,
    REQUIREMENT_FAILS,
    add_arm,
    add_cell,
    add_command,
    add_device,
    add_line,
    add_path,
    add_plant,
    add_recipe,
    add_seed,
    add_track,
    chosen_recipe,
    count,
    line_of,
    natural,
    run_stage,
)
from robot_rlaas.cli.practise import practise_command
from robot_rlaas.cli.train import train_command

if TYPE_CHECKING:
    from robot_rlaas.cell.hardware import Line

STAGES = ("check", "demonstrate", "train", "qualify", "bundle", "deploy", "calibrate")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0: done, or every requirement passes. 1: it ran, and a requirement fails or stays undecided, or a stage broke
        off. 2: bad input.
        130: interrupted; `rlaas run --resume` and `rlaas train --resume` go on.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except InputError as error:
        print(f"rlaas: {error}", file=sys.stderr)
        return BAD_INPUT
    except StageError as error:
        print(f"rlaas: {error}", file=sys.stderr)
        return REQUIREMENT_FAILS
    except KeyboardInterrupt:
        print(f"\nrlaas: interrupted{getattr(options, 'interrupted', '')}", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rlaas",
        description="From a cell file to a qualified policy on the arm.",
        epilog="example: rlaas run peg_insertion --out runs/first",
    )
    parser.add_argument("--version", action="version", version=f"rlaas {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    cell_commands(commands)
    demos_commands(commands)
    train_command(commands)
    practise_command(commands)
    distill_command(commands)
    _qualify_command(commands)
    _compare_command(commands)
    bundle_commands(commands)
    _deploy_command(commands)
    calibrate_commands(commands)
    improve_command(commands)
    _loop_command(commands)
    _run_command(commands)
    return parser


ATTEMPTS, BUDGET, HELD_OUT = 30, 4000, 100
POLICY = "a policy directory, a bundle, an .onnx file, an SB3 zip, a LeRobot policy, 'expert' or module:attribute"


def _qualify_command(commands) -> None:
    example = "rlaas qualify peg_insertion --policy runs/first/policy --out runs/first/qualification"
    parser = add_command(commands, "qualify", "A verdict on every requirement, from fresh episodes.", example, _qualify)
    add_cell(parser)
    parser.add_argument("--policy", required=True, help=POLICY)
    add_path(parser, "--out", "where report.json, report.html, report.xml and failures.json go", required=False)
    parser.add_argument("--episodes", type=count, help="run exactly so many (default: until every verdict stands)")
    parser.add_argument("--budget", type=count, help="without --episodes: at most so many (default: 4000)")
    parser.add_argument("--held-out", type=natural, help="episodes per held-out factor (default: 100)")
    parser.add_argument("--sensitivity", type=natural, help="episodes per point of the curves (default: none)")
    text = f"judge a bundle on an arm, in --episodes attempts (default: {ATTEMPTS}) that stay in OUT/deployment"
    parser.add_argument("--arm", choices=("virtual", "real"), help=text)
    add_plant(parser)
    add_line(parser)
    parser.add_argument("--reproduce", type=Path, metavar="REPORT", help="run this report.json's qualification again")
    add_trust(parser)
    add_seed(parser)


def _compare_command(commands) -> None:
    example = "rlaas compare runs/first/policy runs/second/policy expert --cell peg_insertion"
    parser = add_command(
        commands, "compare", "Which differences between policies are real, on the same starts.", example, _compare
    )
    parser.add_argument(
        "policies", nargs="+", metavar="POLICY", help=f"{POLICY}; the first is compared with the others"
    )
    parser.add_argument("--cell", required=True, help="a shipped cell's name, or the path of a cell file")
    parser.add_argument("--episodes", type=count, default=500, help="common starts (default: 500)")
    parser.add_argument("--every-pair", action="store_true", help="also compare the others among themselves")
    add_path(parser, "--out", "a JSON file to write", required=False)
    add_seed(parser)


def _deploy_command(commands) -> None:
    example = "rlaas deploy runs/first/bundle --attempts 10 --out runs/first/deployment"
    parser = add_command(commands, "deploy", "Let a bundle drive an arm over ROS 2.", example, _deploy)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a directory or a .zip")
    parser.add_argument("--attempts", type=count, default=10, help="(default: 10)")
    parser.add_argument("--domain-id", type=int, help="ROS domain of a virtual arm (default: a random one)")
    add_arm(parser)
    add_line(parser)
    told = "when the policy sees what it was not qualified on: slow and hold the arm, or only tell (default: enforce)"
    parser.add_argument("--domain", choices=("enforce", "tell"), default="enforce", help=told)
    add_path(parser, "--perception", "of a real arm's camera: how it sees where the plate is", required=False)
    parser.add_argument("--ui", action="store_true", help="a page in the browser that shows the arm and stops it")
    parser.add_argument("--ui-port", type=natural, default=8090, help="(default: 8090)")
    parser.add_argument("--ui-host", default="127.0.0.1", help="for other machines, with a token (default: 127.0.0.1)")
    split = "megabytes after which the log goes on in a new file: log_0001.mcap and so on (default: one file)"
    parser.add_argument("--log-mb", type=count, metavar="MB", help=split)
    add_trust(parser)
    add_seed(parser)
    add_path(parser, "--out", "where deployment.json and log.mcap go")


def _loop_command(commands) -> None:
    example = "rlaas loop peg_insertion --policy runs/first/policy --out runs/first/loop"
    text = "Deploy, log, calibrate, judge again, keep or tune: until the policy passes on the arm as it is."
    parser = add_command(commands, "loop", text, example, _loop)
    add_cell(parser)
    add_path(parser, "--policy", "a policy directory")
    parser.add_argument("--turns", type=count, default=3, help="at most (default: 3)")
    parser.add_argument("--attempts", type=count, default=10, help="on the arm, each turn (default: 10)")
    parser.add_argument(
        "--budget", type=count, default=BUDGET, help="episodes of a qualification, at most (default: 4000)"
    )
    add_arm(parser)
    add_line(parser)
    parser.add_argument("--recipe", default="tune", help="of a tuning: a shipped one, or a path (default: tune)")
    add_seed(parser)
    add_path(parser, "--out", "gets a directory per turn; finished turns that are there are kept")


def _run_command(commands) -> None:
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


def _qualify(options: argparse.Namespace) -> int:
    o, line = options, line_of(options)
    if o.arm:
        return _qualify_on_arm(o, line)
    if (o.reproduce is None) == (o.out is None):
        raise InputError("name either --out, for a new report, or --reproduce, for an old one")

    def work(_, watch):
        from robot_rlaas.jobs import qualification
        from robot_rlaas.qualify.claims import Plan

        if o.reproduce:
            return qualification.reproduce(o.cell, o.policy, o.reproduce, watch)
        held_out = HELD_OUT if o.held_out is None else o.held_out
        plan = Plan(o.episodes or o.budget or BUDGET, o.episodes is None, held_out, o.sensitivity or 0)
        return qualification.qualify(o.cell, o.policy, o.seed, plan, o.out, watch)

    return run_stage(work)


def _qualify_on_arm(o: argparse.Namespace, line: "Line") -> int:
    flags = {"--reproduce": o.reproduce, "--budget": o.budget, "--held-out": o.held_out, "--sensitivity": o.sensitivity}
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        fix = "leave it out; --episodes says how many attempts are made"
        raise InputError(f"{', '.join(given)}: not together with --arm", fix=fix)
    if o.out is None:
        raise InputError("name --out, for the attempts and their report")
    from robot_rlaas.jobs.on_arm import ask, qualify_on_arm

    watch, confirm = _Lines(), ask if o.arm == "real" and sys.stdin.isatty() else None
    attempts, bundle = o.episodes or ATTEMPTS, Path(o.policy)
    arm = (o.arm, o.plant, confirm, o.out, watch, trust_of(o), line)
    result = qualify_on_arm(o.cell, bundle, o.seed, attempts, *arm)
    watch.say(result.text)
    return DONE if result.passed else REQUIREMENT_FAILS


class _Lines:
    """A `pipeline.Watch` without a bar, which would be drawn over what an operator types."""

    def say(self, text: str) -> None:
        """See `pipeline.Watch`."""
        print(text, flush=True)

    def bar(self, text: str, done: float, total: float) -> None:
        """See `pipeline.Watch`."""


def _compare(options: argparse.Namespace) -> int:
    o = options

    def work(_, watch):
        from robot_rlaas.jobs.qualification import compare_policies

        return compare_policies(o.cell, o.policies, o.seed, o.episodes, o.every_pair, o.out, watch)

    return run_stage(work)


def _deploy(options: argparse.Namespace) -> int:
    o, trust, line = options, trust_of(options), line_of(options)
    page = (o.ui_host, o.ui_port) if o.ui else None
    return run_stage(
        lambda p, watch: p.deploy(
            *(o.bundle, o.out, o.attempts, o.plant, o.arm, o.seed, o.domain_id, trust, watch, page),
            domain=o.domain,
            perception=o.perception,
            log_mb=o.log_mb,
            line=line,
        )
    )


def _loop(options: argparse.Namespace) -> int:
    def work(_, watch):
        from robot_rlaas.jobs.loop import Options, loop
        from robot_rlaas.learn.recipe import load_recipe

        o = options
        recipe = load_recipe(o.recipe)
        arm = (o.arm, o.plant, o.seed, o.out, key, line)
        return loop(Options(o.cell, o.policy, recipe, o.turns, o.attempts, o.budget, *arm), watch)

    line, key = line_of(options), own_key()
    return run_stage(work)


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
