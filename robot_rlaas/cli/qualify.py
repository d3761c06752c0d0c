"""`rlaas qualify` and `rlaas compare`: what a policy is worth, and whether another one is worth more."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli.bundle import add_trust, trust_of
from robot_rlaas.cli.options import (
    BUDGET,
    DONE,
    REQUIREMENT_FAILS,
    add_cell,
    add_command,
    add_line,
    add_path,
    add_plant,
    add_seed,
    add_simulator,
    count,
    line_of,
    natural,
    run_stage,
)

if TYPE_CHECKING:
    from robot_rlaas.cell.hardware import Line

ATTEMPTS, HELD_OUT = 30, 100
POLICY = "a policy directory, a bundle, an .onnx file, an SB3 zip, a LeRobot policy, 'expert' or module:attribute"


def qualify_command(commands) -> None:
    """Add the command."""
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
    add_simulator(parser)
    parser.add_argument("--reproduce", type=Path, metavar="REPORT", help="run this report.json's qualification again")
    add_trust(parser)
    add_seed(parser)


def compare_command(commands) -> None:
    """Add the command."""
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


def _qualify(options: argparse.Namespace) -> int:
    o, line = options, line_of(options)
    if o.arm:
        return _qualify_on_arm(o, line)
    if (o.reproduce is None) == (o.out is None):
        raise InputError("name either --out, for a new report, or --reproduce, for an old one")
    if o.reproduce and o.simulator != "cpu":
        raise InputError("--simulator: not together with --reproduce, whose report names it", fix="leave it out")

    def work(_, watch):
        from robot_rlaas.jobs import qualification
        from robot_rlaas.qualify.claims import Plan

        if o.reproduce:
            return qualification.reproduce(o.cell, o.policy, o.reproduce, watch)
        held_out = HELD_OUT if o.held_out is None else o.held_out
        plan = Plan(o.episodes or o.budget or BUDGET, o.episodes is None, held_out, o.sensitivity or 0)
        return qualification.qualify(o.cell, o.policy, o.seed, plan, o.out, watch, o.simulator)

    return run_stage(work)


def _qualify_on_arm(o: argparse.Namespace, line: "Line") -> int:
    flags = {"--reproduce": o.reproduce, "--budget": o.budget, "--held-out": o.held_out, "--sensitivity": o.sensitivity}
    flags["--simulator"] = None if o.simulator == "cpu" else o.simulator
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        fix = "leave it out; --episodes says how many attempts are made"
        raise InputError(f"{', '.join(given)}: not together with --arm", fix=fix)
    if o.out is None:
        raise InputError("name --out, for the attempts and their report")
    from robot_rlaas.jobs.qualification_arm import ask, qualify_on_arm

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
