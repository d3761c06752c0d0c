"""`rlaas deploy` and `rlaas loop`: onto the arm, and round from there."""

import argparse
from pathlib import Path

from robot_rlaas.cli.bundle import add_trust, own_key, trust_of
from robot_rlaas.cli.options import (
    BUDGET,
    add_arm,
    add_cell,
    add_command,
    add_line,
    add_path,
    add_seed,
    count,
    line_of,
    natural,
    run_stage,
)


def deploy_command(commands) -> None:
    """Add the command."""
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


def loop_command(commands) -> None:
    """Add the command."""
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
