"""`rlaas distill`: a policy that sees, of a teacher that knows."""

import argparse

from robot_rlaas.cli.options import add_cell, add_command, add_path, add_seed, run_stage


def distill_command(commands) -> None:
    """Add the command."""
    example = (
        "rlaas distill peg_insertion_camera --out runs/camera/policy, then "
        "rlaas qualify peg_insertion_camera --policy runs/camera/policy --out runs/camera/verdict; "
        "or, with a better teacher: rlaas run peg_insertion --until train, then rlaas distill peg_insertion_camera "
        "--teacher runs/peg_insertion/policy --cameras wrist --out runs/camera/policy"
    )
    text = "A policy that sees where the plate lies, of a teacher that is told."
    parser = add_command(commands, "distill", text, example, _distill)
    add_cell(parser)
    add_path(parser, "--out", "the policy directory to write")
    text = "'expert', the scripted one, or a policy for the same cell with an observed plate (default: expert)"
    parser.add_argument("--teacher", default="expert", metavar="POLICY", help=text)
    text = "those of the cell's cameras that the policy sees through (default: all)"
    parser.add_argument("--cameras", nargs="+", default=(), metavar="NAME", help=text)
    text = "how it learns: a shipped file of policies/distillations, or a path (default: default)"
    parser.add_argument("--recipe", default="default", help=text)
    add_seed(parser)


def _distill(options: argparse.Namespace) -> int:
    o = options

    def work(_, watch):
        from robot_rlaas.jobs.distillation import distill
        from robot_rlaas.learn.lessons import load_lessons

        return distill(o.cell, o.teacher, load_lessons(o.recipe), o.seed, o.out, watch, o.cameras)

    return run_stage(work)
