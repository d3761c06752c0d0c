"""`rlaas practise`: reinforcement learning on one arm, from demonstrations."""

import argparse

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli.options import add_cell, add_command, add_path, add_plant, add_seed, count, natural, run_stage


def practise_command(commands) -> None:
    """Add the command."""
    example = "rlaas practise peg_insertion --demos demos --arm virtual --minutes 20 --out practised"
    text = "Clone demonstrations and get better by practice on one arm, in real time, or in simulation."
    parser = add_command(commands, "practise", text, example, _practise)
    add_cell(parser)
    add_path(parser, "--demos", "a dataset from 'rlaas demos'; 20 successes will do")
    add_path(parser, "--out", "the policy directory to write; what practice goes on from lies beside it")
    parser.add_argument(
        "--minutes", type=_minutes, default=20.0, help="of the arm's time; in simulation, of attempts (default: 20)"
    )
    parser.add_argument(
        "--recipe", default="default", help="a shipped recipe of practice, or a path (default: default)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the practice that lies there")
    text = "practise on an arm, in real time, over ROS 2 and under its supervisor (default: in simulation)"
    parser.add_argument("--arm", choices=("virtual", "real"), help=text)
    add_plant(parser)
    parser.add_argument("--domain-id", type=natural, help="ROS domain of a virtual arm (default: a random one)")
    parser.add_argument(
        "--ui", action="store_true", help="at an arm: a page in the browser where somebody can take over"
    )
    parser.add_argument("--ui-port", type=count, default=8080, help="(default: 8080)")
    parser.add_argument("--operator", default="operator", help="who does so")
    add_seed(parser)
    parser.set_defaults(interrupted="; the policy is as it was then, and the same command with --resume goes on")


def _minutes(text: str) -> float:
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


def _practise(options: argparse.Namespace) -> int:
    def work(_, watch):
        from robot_rlaas.jobs.practising import Options, practise
        from robot_rlaas.learn.practice_recipe import load_practice

        o = options
        if o.ui and o.arm is None:
            raise InputError("--ui: nobody can take over in simulation", fix="add --arm, or leave it out")
        asked = Options(o.cell, o.demos, load_practice(o.recipe), o.minutes, o.seed, o.out, o.resume)
        if o.arm is None:
            return practise(asked, watch)
        from robot_rlaas.jobs.practising_arm import AtArm, practise_on_arm

        page = o.ui_port if o.ui else None
        return practise_on_arm(asked, AtArm(o.arm, o.plant, o.domain_id, page, o.operator), watch)

    return run_stage(work)
